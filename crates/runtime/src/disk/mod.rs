//! Disks of a bounded size: a file system of its own in a file that grows as it is filled, attached
//! to a loop device. What fills one gets "No space left on device" and the machine's disk has room.
//!
//! Quotas of projects would cost less, but no distribution mounts its root with them, and many
//! kernels are built without. A loop device and ext4 are everywhere but in some containers.
//!
//! The file has no name any more once it is attached, and the device lets go of it with the last
//! unmount: a crash leaves a mount and nothing else.
#![allow(unsafe_code)]

mod blank;

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{Context, Failure, Result};
use crate::identity::random_bytes;

const CONTROL: &str = "/dev/loop-control";
/// Another program may take the device that was free a moment ago.
const DEVICE_TRIES: u32 = 50;
/// The smallest disk: one group of the file system.
pub(crate) const BYTES_MIN: u64 = blank::GROUP_BYTES;
/// More than any disk that AWS or Docker is asked for, and what 32-bit block numbers still hold.
pub(crate) const BYTES_MAX: u64 = 8 << 40;

/// Mounts a new, empty disk of at most so many bytes at the directory, which has to be there. What is
/// written to it lies in the directory above. The size is rounded down to 128 MiB.
pub(crate) fn mount_new(directory: &Path, bytes: u64) -> Result<()> {
    let failed = || format!("could not make the disk `{}`", directory.display());
    let mut name = directory.as_os_str().to_owned();
    name.push(".disk");
    let backing = open_new(Path::new(&name)).context(failed)?;
    let attached = fill(&backing, bytes).and_then(|()| attach(&backing));
    // It lives on as what the device is attached to.
    let removed = fs::remove_file(&name).context(failed);
    let device = attached.map_err(|failure| Failure(format!("{}: {failure}", failed())))?;
    removed?;
    mount_device(&device, directory).map_err(|failure| Failure(format!("{}: {failure}", failed())))
}

/// Unmounts the disk at a directory, with whatever is still mounted over it. None there is a success.
pub(crate) fn unmount(directory: &Path) -> Result<()> {
    loop {
        match umount2(directory, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(error) => {
                return Err(error)
                    .context(|| format!("could not unmount `{}`", directory.display()));
            }
        }
    }
}

/// Whether this machine can make such disks, tried with one that is nowhere.
pub(crate) fn probe() -> Result<()> {
    let backing = nix::sys::memfd::memfd_create(c"disk", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)
        .context(|| "could not make a file in memory".to_owned())?;
    let backing = File::from(backing);
    fill(&backing, BYTES_MIN)?;
    let device = attach(&backing)?;
    // In a mount namespace that ends with the thread, and the mount with it.
    let tried = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            crate::mounts::leave_namespace()?;
            mount_device(&device, Path::new("/"))
        });
        thread.join()
    });
    tried.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn open_new(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn fill(backing: &File, bytes: u64) -> Result<()> {
    let groups = bytes.clamp(BYTES_MIN, BYTES_MAX) / BYTES_MIN;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.map_or(0, |now| now.as_secs() as u32);
    blank::write(backing, groups, random_bytes()?, now_s)
        .context(|| "could not write an empty file system".to_owned())
}

fn mount_device(device: &Device, directory: &Path) -> Result<()> {
    // Whether a file was read need not be written down, and what is deleted is given back.
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
    let options = Some("discard");
    mount(
        Some(device.path.as_str()),
        directory,
        Some("ext4"),
        flags,
        options,
    )
    .context(|| format!("could not mount `{}`", device.path))
}

/// A loop device, held until it is mounted: it lets go of its file with the last who has it open.
struct Device {
    path: String,
    _open: OwnedFd,
}

fn attach(backing: &File) -> Result<Device> {
    let lacking = || format!("could not open `{CONTROL}`");
    let control = OpenOptions::new().read(true).write(true).open(CONTROL);
    let control = control.context(lacking)?;
    for _ in 0..DEVICE_TRIES {
        // SAFETY: takes no argument and gives a number.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        let number = Errno::result(number).context(|| "no loop device is free".to_owned())?;
        let path = format!("/dev/loop{number}");
        let device = OpenOptions::new().read(true).write(true).open(&path);
        let device: OwnedFd = device
            .context(|| format!("could not open `{path}`"))?
            .into();
        let config = LoopConfig::of(backing);
        // SAFETY: the structure is as the kernel has it, and read during the call.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &config) };
        match Errno::result(done) {
            Ok(_) => {
                return Ok(Device {
                    path,
                    _open: device,
                });
            }
            Err(Errno::EBUSY) => {}
            Err(error) => {
                return Err(error).context(|| format!("could not set up `{path}`"));
            }
        }
    }
    Err(Failure("other programs take every loop device".to_owned()))
}

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// What is written is not kept in memory twice.
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl LoopConfig {
    fn of(backing: &File) -> Self {
        Self {
            fd: backing.as_raw_fd() as u32,
            block_size: 4096,
            info: LoopInfo {
                device: 0,
                inode: 0,
                rdevice: 0,
                offset: 0,
                size_limit: 0,
                number: 0,
                encrypt_type: 0,
                encrypt_key_size: 0,
                flags: LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
                file_name: [0; 64],
                crypt_name: [0; 64],
                encrypt_key: [0; 32],
                init: [0; 2],
            },
            reserved: [0; 8],
        }
    }
}
