"""The kubelet: pods of the node as real processes. It reads and writes pods only through the API.

A pod's processes end with the kubelet, however that ends (`guard`); the next one starts them again, as after a reboot
of the node: the same pods, each container with one restart more.
"""
