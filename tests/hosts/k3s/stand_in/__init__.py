"""A stand-in for k3s, for this project's tests: Kubernetes' own parts behind as much of k3s's interface as an Ansible role uses."""
