"""The commands of xiaotong-collector, one file each."""
