"""The model zoo: which networks there are, and how to load them."""

import os

# Must be set before torch is imported. OpenMP's threads otherwise spin while they wait for each other, and on two cores
# of which a browser keeps one busy, an attack of 5 s then takes minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
