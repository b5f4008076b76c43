# Loaded by the machines' own init, in dependency order. FOR MODULE...
both overlay ext4
amd virtio_blk 9p 9pnet_virtio
intel nd_e820 nd_pmem
