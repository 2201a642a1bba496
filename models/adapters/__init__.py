"""The adapters: one file each, and beside them the layers that come from `peft`."""
