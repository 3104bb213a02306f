"""The lab's practice cluster in the eyes of the lab: the shop's manifests, its pods, and what happens to them."""
