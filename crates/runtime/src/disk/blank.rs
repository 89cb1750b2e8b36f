//! An empty ext4 file system, written by hand into a file that is all holes: a few blocks, however
//! large it is. No program that makes file systems need be there, and none has to run before a task
//! starts.
//!
//! It is as simple as the kernel allows: no journal (what is in it goes with its task), one copy of
//! the superblock, and groups that say of themselves that their tables have not been written. Each
//! group descriptor carries a checksum, without which the kernel does not believe that.
//!
//! ```text
//! group 0   superblock | descriptors | block bitmap | inode bitmap | inodes | `/` | free
//! group n                              block bitmap | inode bitmap | inodes | free
//! ```
//!
//! Offsets and values are those of the kernel's documentation (filesystems/ext4).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK: u64 = 4096;
const GROUP_BLOCKS: u64 = 32 * 1024;
pub(super) const GROUP_BYTES: u64 = GROUP_BLOCKS * BLOCK;
const GROUP_INODES: u64 = 8 * 1024;
const INODE_BYTES: u64 = 256;
const INODE_TABLE_BLOCKS: u64 = GROUP_INODES * INODE_BYTES / BLOCK;
/// Inodes from 1 on that have a meaning of their own; the root directory is 2.
const RESERVED_INODES: u64 = 10;
const DESCRIPTOR_BYTES: usize = 32;

const FLAG_INODES_UNWRITTEN: u16 = 1;
const FLAG_BLOCKS_UNWRITTEN: u16 = 2;
/// Holes read as zeros, so the kernel need not write them.
const FLAG_INODES_ZERO: u16 = 4;

const COMPATIBLE: u32 = 0x8 /* ext_attr */ | 0x20 /* dir_index */ | 0x200 /* sparse_super2 */;
const INCOMPATIBLE: u32 = 0x2 /* filetype */ | 0x40 /* extents */;
const READ_ONLY_COMPATIBLE: u32 =
    0x2 /* large_file */ | 0x8 /* huge_file */ | 0x10 /* gdt_csum */ | 0x20 /* dir_nlink */ | 0x40 /* extra_isize */;

/// Where things are in the first group, by block.
struct Layout {
    groups: u64,
    descriptor_blocks: u64,
}

impl Layout {
    fn block_bitmap(&self, group: u64) -> u64 {
        match group {
            0 => 1 + self.descriptor_blocks,
            _ => group * GROUP_BLOCKS,
        }
    }
    fn inode_bitmap(&self, group: u64) -> u64 {
        self.block_bitmap(group) + 1
    }
    fn inode_table(&self, group: u64) -> u64 {
        self.block_bitmap(group) + 2
    }
    fn root_directory(&self) -> u64 {
        self.inode_table(0) + INODE_TABLE_BLOCKS
    }
    fn used_blocks(&self, group: u64) -> u64 {
        match group {
            0 => self.root_directory() + 1,
            _ => 2 + INODE_TABLE_BLOCKS,
        }
    }
}

/// Makes the file an empty file system of so many groups of 128 MiB. `unique` tells it from others.
pub(super) fn write(file: &File, groups: u64, unique: [u8; 16], now_s: u32) -> io::Result<()> {
    let descriptor_blocks = (groups * DESCRIPTOR_BYTES as u64).div_ceil(BLOCK);
    let layout = Layout {
        groups,
        descriptor_blocks,
    };
    file.set_len(groups * GROUP_BYTES)?;
    file.write_all_at(&superblock(&layout, unique, now_s), 1024)?;
    file.write_all_at(&descriptors(&layout, unique), BLOCK)?;
    // The last group's is always written: elsewhere it would say where the file system ends.
    for group in [0, groups - 1] {
        let mut blocks = [0; BLOCK as usize];
        set_first(&mut blocks, layout.used_blocks(group));
        file.write_all_at(&blocks, layout.block_bitmap(group) * BLOCK)?;
    }
    let mut inodes = [0; BLOCK as usize];
    set_first(&mut inodes, RESERVED_INODES);
    // Past the group's last inode there are none.
    inodes[GROUP_INODES as usize / 8..].fill(0xff);
    file.write_all_at(&inodes, layout.inode_bitmap(0) * BLOCK)?;
    let root = root_inode(layout.root_directory(), now_s);
    file.write_all_at(&root, layout.inode_table(0) * BLOCK + INODE_BYTES)?;
    file.write_all_at(&root_directory(), layout.root_directory() * BLOCK)
}

fn superblock(layout: &Layout, unique: [u8; 16], now_s: u32) -> [u8; 1024] {
    let used: u64 = (0..layout.groups).map(|it| layout.used_blocks(it)).sum();
    let blocks = layout.groups * GROUP_BLOCKS;
    let inodes = layout.groups * GROUP_INODES;
    let mut bytes = [0; 1024];
    let words = [
        (0x00, inodes as u32),
        (0x04, blocks as u32),
        (0x0c, (blocks - used) as u32),
        (0x10, (inodes - RESERVED_INODES) as u32),
        (0x18, 2), // Blocks of 1024 << 2 bytes.
        (0x1c, 2),
        (0x20, GROUP_BLOCKS as u32),
        (0x24, GROUP_BLOCKS as u32),
        (0x28, GROUP_INODES as u32),
        (0x30, now_s),
        (0x40, now_s),
        (0x4c, 1), // Inodes have a size, features are listed.
        (0x54, RESERVED_INODES as u32 + 1),
        (0x5c, COMPATIBLE),
        (0x60, INCOMPATIBLE),
        (0x64, READ_ONLY_COMPATIBLE),
        (0x100, 0xc), // Users' extended attributes and access lists.
        (0x108, now_s),
        (0x160, 1), // Names are hashed as signed characters.
    ];
    for (offset, value) in words {
        put(&mut bytes, offset, &value.to_le_bytes());
    }
    let halves: [(usize, u16); 7] = [
        (0x36, u16::MAX), // Mounts before a check: any number.
        (0x38, 0xef53),
        (0x3a, 1), // Clean.
        (0x3c, 2), // After an error, read-only.
        (0x58, INODE_BYTES as u16),
        (0x15c, 32),
        (0x15e, 32),
    ];
    for (offset, value) in halves {
        put(&mut bytes, offset, &value.to_le_bytes());
    }
    put(&mut bytes, 0x68, &unique);
    // The seed of the names' hashes, and which hash.
    put(&mut bytes, 0xec, &unique);
    bytes[0xfc] = 1;
    bytes
}

fn descriptors(layout: &Layout, unique: [u8; 16]) -> Vec<u8> {
    let mut all = Vec::new();
    for group in 0..layout.groups {
        let used_inodes = if group == 0 { RESERVED_INODES } else { 0 };
        let free_inodes = (GROUP_INODES - used_inodes) as u16;
        let flags = match group {
            0 => FLAG_INODES_ZERO,
            last if last == layout.groups - 1 => FLAG_INODES_ZERO | FLAG_INODES_UNWRITTEN,
            _ => FLAG_INODES_ZERO | FLAG_INODES_UNWRITTEN | FLAG_BLOCKS_UNWRITTEN,
        };
        let mut bytes = [0; DESCRIPTOR_BYTES];
        let places = [
            layout.block_bitmap(group),
            layout.inode_bitmap(group),
            layout.inode_table(group),
        ];
        for (index, block) in places.into_iter().enumerate() {
            put(&mut bytes, index * 4, &(block as u32).to_le_bytes());
        }
        let free_blocks = (GROUP_BLOCKS - layout.used_blocks(group)) as u16;
        put(&mut bytes, 0x0c, &free_blocks.to_le_bytes());
        put(&mut bytes, 0x0e, &free_inodes.to_le_bytes());
        put(&mut bytes, 0x10, &u16::from(group == 0).to_le_bytes());
        put(&mut bytes, 0x12, &flags.to_le_bytes());
        // Inodes at the end of the table that were never used.
        put(&mut bytes, 0x1c, &free_inodes.to_le_bytes());
        let mut sum = crc16(u16::MAX, &unique);
        sum = crc16(sum, &(group as u32).to_le_bytes());
        sum = crc16(sum, &bytes[..0x1e]);
        put(&mut bytes, 0x1e, &sum.to_le_bytes());
        all.extend(bytes);
    }
    all
}

fn root_inode(directory_block: u64, now_s: u32) -> [u8; INODE_BYTES as usize] {
    let mut bytes = [0; INODE_BYTES as usize];
    let halves: [(usize, u16); 8] = [
        (0x00, 0o040_755),
        (0x1a, 2), // Links: its `.` and its `..`.
        (0x28, 0xf30a),
        (0x2a, 1), // One extent,
        (0x2c, 4), // where four would fit,
        (0x2e, 0),
        (0x38, 1), // of one block.
        (0x80, 32),
    ];
    for (offset, value) in halves {
        put(&mut bytes, offset, &value.to_le_bytes());
    }
    let words = [
        (0x04, BLOCK as u32),
        (0x08, now_s),
        (0x0c, now_s),
        (0x10, now_s),
        (0x1c, (BLOCK / 512) as u32),
        (0x20, 0x8_0000), // It is described by extents.
        (0x3c, directory_block as u32),
    ];
    for (offset, value) in words {
        put(&mut bytes, offset, &value.to_le_bytes());
    }
    bytes
}

fn root_directory() -> [u8; BLOCK as usize] {
    let mut bytes = [0; BLOCK as usize];
    let rest = BLOCK as u16 - 12;
    for (offset, length, name) in [(0, 12u16, "."), (12, rest, "..")] {
        put(&mut bytes, offset, &2u32.to_le_bytes());
        put(&mut bytes, offset + 4, &length.to_le_bytes());
        bytes[offset + 6] = name.len() as u8;
        bytes[offset + 7] = 2; // A directory.
        put(&mut bytes, offset + 8, name.as_bytes());
    }
    bytes
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

fn set_first(bitmap: &mut [u8], count: u64) {
    for bit in 0..count as usize {
        bitmap[bit / 8] |= 1 << (bit % 8);
    }
}

/// The kernel's `crc16` (polynomial 0x8005, reflected).
fn crc16(mut sum: u16, bytes: &[u8]) -> u16 {
    for byte in bytes {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0xa001
            } else {
                sum >> 1
            };
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_kernel_s() {
        // The check value of CRC-16/MODBUS, which begins like ours with all ones.
        assert_eq!(crc16(u16::MAX, b"123456789"), 0x4b37);
    }

    /// With the program that checks file systems, where it is installed.
    #[test]
    fn a_blank_file_system_is_a_clean_one() {
        for groups in [1, 8, 160, 1600] {
            let file = tempfile::NamedTempFile::new().unwrap();
            write(file.as_file(), groups, [7; 16], 1_700_000_000).unwrap();
            let written = std::os::unix::fs::MetadataExt::blocks(&file.path().metadata().unwrap());
            assert!(
                written * 512 < 200 * 1024,
                "{written} sectors for {groups} groups"
            );
            let checked = std::process::Command::new("e2fsck")
                .args(["-f", "-n"])
                .arg(file.path())
                .output();
            let Ok(checked) = checked else {
                eprintln!("SKIPPED: e2fsck is not installed");
                return;
            };
            let said = String::from_utf8_lossy(&checked.stdout).into_owned();
            // A lost+found is made by those who look for it.
            let complaints = said
                .lines()
                .filter(|line| line.contains('?') && !line.contains("lost+found not found"));
            assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&str>::new(), "{said}");
        }
    }
}
