"""The commands of xiaotong-agent, one file each."""
