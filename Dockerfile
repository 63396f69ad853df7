# JMA Lab on a server: docs/DEPLOY.md says how to start it, and what it lets visitors do.
FROM python:3.11-slim

RUN useradd --create-home lab && mkdir /data && chown lab /data
WORKDIR /home/lab/jma-lab

COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt -r requirements.txt

COPY app.py LICENSE ./
COPY .streamlit .streamlit
COPY assets assets
COPY jma_core jma_core
COPY models models
COPY lab lab
COPY ui ui
COPY pages pages

USER lab
ENV JMA_LAB_DATA=/data
VOLUME /data
EXPOSE 8501
HEALTHCHECK --start-period=30s \
    CMD python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:8501/_stcore/health', timeout=5)"
# The welcome would ask a host on the internet for the address of this one.
CMD ["streamlit", "run", "app.py", "--server.address=0.0.0.0", "--server.headless=true", "--logger.hideWelcomeMessage=true"]
