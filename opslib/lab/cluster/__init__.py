"""A practice cluster: the part of the Kubernetes API that this kit touches, its controllers and a kubelet of processes."""
