//! Two programs for the tests: the shim role, as the product's executable has it, and a payload
//! whose behaviour is given by its arguments.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::io::{Read, Write};
use std::time::Duration;

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "shim") {
        std::process::exit(runtime::main(&args[1..]));
    }
    let words: Vec<String> = args
        .iter()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    // Several commands, one after another: `say hello , exit 3`.
    for command in words.split(|word| word == ",") {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        run(&command);
    }
}

fn run(command: &[&str]) {
    match command {
        [] => {}
        ["say", text @ ..] => println!("{}", text.join(" ")),
        ["complain", text @ ..] => eprintln!("{}", text.join(" ")),
        // Without a line feed.
        ["mutter", text @ ..] => {
            print!("{}", text.join(" "));
            std::io::stdout().flush().unwrap();
        }
        ["long-line", bytes] => println!("{}", "x".repeat(bytes.parse().unwrap())),
        ["exit", code] => std::process::exit(code.parse().unwrap()),
        ["sleep", ms] => std::thread::sleep(Duration::from_millis(ms.parse().unwrap())),
        ["env", name] => println!("{name}={}", std::env::var(name).unwrap_or("(none)".into())),
        ["cwd"] => println!("cwd={}", std::env::current_dir().unwrap().display()),
        ["status", key] => print_status(key),
        ["cat", path] => match std::fs::read_to_string(path) {
            Ok(text) => print!("{text}"),
            Err(error) => println!("cat {path}: {error}"),
        },
        ["cat-stdin"] => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).unwrap();
            print!("{text}");
        }
        // Answers each line of its input, until that ends.
        ["echo"] => {
            for line in std::io::stdin().lines() {
                println!("got {}", line.unwrap());
            }
            println!("input ended");
        }
        ["flood", kib] => flood(kib.parse().unwrap()),
        ["terminal"] => terminal(),
        ["wait-for-rows", rows] => {
            let rows: u16 = rows.parse().unwrap();
            while size().0 != rows {
                std::thread::sleep(Duration::from_millis(2));
            }
            println!("size={:?}", size());
        }
        ["reopen"] => match std::fs::OpenOptions::new()
            .write(true)
            .open("/proc/self/fd/1")
        {
            Ok(mut file) => writeln!(file, "reopened").unwrap(),
            Err(error) => println!("reopen: {error}"),
        },
        ["send", path, text] => {
            let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        }
        ["linger", ms] => linger(ms.parse().unwrap()),
        ["write", path, text] => match std::fs::write(path, text) {
            Ok(()) => println!("wrote {path}"),
            Err(error) => println!("write {path}: {error}"),
        },
        ["append", path, text] => {
            let file = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path);
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }
        ["fill", path, mib] => fill(path, mib.parse().unwrap()),
        // So many MiB, one at a time.
        ["trickle", path, mib, ms] => {
            let mut file = std::fs::File::create(path).unwrap();
            for _ in 0..mib.parse().unwrap() {
                file.write_all(&vec![7u8; 1024 * 1024]).unwrap();
                std::thread::sleep(Duration::from_millis(ms.parse().unwrap()));
            }
        }
        ["mkdir", path] => std::fs::create_dir(path).unwrap(),
        ["symlink", target, path] => {
            std::os::unix::fs::symlink(target, path).unwrap();
            println!("linked {path}");
        }
        ["delete", path] => std::fs::remove_file(path).unwrap(),
        ["exists", path] => println!("{path} exists: {}", std::path::Path::new(path).exists()),
        ["exit-unless", path] => {
            if !std::path::Path::new(path).exists() {
                std::process::exit(1);
            }
        }
        ["eat-memory", mib] => eat_memory(mib.parse().unwrap()),
        ["fork", count] => fork_many(count.parse().unwrap()),
        ["trap", signal, code] => trap(signal.parse().unwrap(), code.parse().unwrap()),
        ["ignore", signal] => ignore(signal.parse().unwrap()),
        ["try", what] => attempt(what),
        ["orphan"] => orphan(),
        ["now"] => println!("{}", now_us()),
        ["session-keyring"] => println!("keyring={}", session_keyring()),
        ["pid"] => println!("pid={}", std::process::id()),
        ["connect", address] => {
            let address = address.parse().unwrap();
            match std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
                Ok(_) => println!("connected"),
                Err(error) => println!("connect: {error}"),
            }
        }
        other => panic!("unknown command {other:?}"),
    }
}

/// Writes as much as there is room for, and says how far that went.
fn fill(path: &str, mib: u32) {
    let piece = vec![7u8; 1024 * 1024];
    let mut file = match std::fs::File::create(path) {
        Ok(file) => file,
        Err(error) => return println!("filled {path} up to nothing: {error}"),
    };
    for done in 0..mib {
        // What the file system has taken may still find no room on the disk.
        if let Err(error) = file.write_all(&piece).and_then(|()| file.sync_data()) {
            return println!("filled {path} up to {done} MiB: {error}");
        }
    }
    println!("filled {path} with {mib} MiB");
}

/// Numbered lines of 1 KiB.
fn flood(kib: u32) {
    let mut out = std::io::stdout().lock();
    for number in 0..kib {
        writeln!(out, "{number:0>1023}").unwrap();
    }
}

/// What the terminal is, if there is one.
fn terminal() {
    for stream in 0..3 {
        // SAFETY: only asks.
        println!(
            "{stream} is a terminal: {}",
            unsafe { libc::isatty(stream) } == 1
        );
    }
    let name = std::fs::read_link("/proc/self/fd/0").unwrap();
    println!("name={} size={:?}", name.display(), size());
    println!("controlling={}", std::fs::File::open("/dev/tty").is_ok());
    println!("console={}", std::path::Path::new("/dev/console").exists());
    // SAFETY: only asks.
    let (front, own) = unsafe { (libc::tcgetpgrp(0), libc::getpgrp()) };
    println!("in front={}", front == own);
}

fn size() -> (u16, u16) {
    // SAFETY: the structure is plain data, and written during the call.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        libc::ioctl(1, libc::TIOCGWINSZ, &mut size);
        (size.ws_row, size.ws_col)
    }
}

/// Leaves a child that keeps the streams open.
fn linger(ms: u64) {
    // SAFETY: the process has one thread; the child only waits.
    if unsafe { libc::fork() } == 0 {
        std::thread::sleep(Duration::from_millis(ms));
        std::process::exit(0);
    }
}

fn now_us() -> u128 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_micros()
}

/// The serial number of the keyring that programs of this session share.
fn session_keyring() -> i64 {
    const GET_ID: libc::c_long = 0;
    const SESSION: libc::c_long = -3;
    // SAFETY: only asks.
    unsafe { libc::syscall(libc::SYS_keyctl, GET_ID, SESSION, 0, 0, 0) }
}

fn print_status(key: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    println!("{}", line.split_whitespace().collect::<Vec<_>>().join(" "));
}

fn eat_memory(mib: usize) {
    let mut kept = Vec::new();
    for _ in 0..mib {
        kept.push(vec![1u8; 1024 * 1024]);
    }
    println!("ate {} MiB", kept.len());
    // Not given back before the end.
    std::mem::forget(kept);
}

fn fork_many(count: usize) {
    let mut made = 0;
    for _ in 0..count {
        // SAFETY: the process has one thread; the child only waits.
        match unsafe { libc::fork() } {
            0 => loop {
                std::thread::sleep(Duration::from_secs(60));
            },
            -1 => break,
            _ => made += 1,
        }
    }
    println!("forked {made}");
}

/// A child whose own child outlives it, left to the first process of the container.
fn orphan() {
    // SAFETY: the process has one thread.
    if unsafe { libc::fork() } == 0 {
        // SAFETY: as above.
        if unsafe { libc::fork() } == 0 {
            std::process::exit(0);
        }
        std::process::exit(0);
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::wait(&mut status) };
    std::thread::sleep(Duration::from_millis(100));
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|one| std::fs::read_to_string(one.path().join("stat")).ok());
    println!(
        "zombies: {}",
        stats.filter(|stat| stat.contains(") Z ")).count()
    );
}

static CODE: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);

extern "C" fn exit_with_code(_: i32) {
    let code = CODE.load(std::sync::atomic::Ordering::Relaxed);
    // SAFETY: `_exit` may be called in a signal handler.
    unsafe { libc::_exit(code) };
}

fn trap(signal: i32, code: i32) {
    CODE.store(code, std::sync::atomic::Ordering::Relaxed);
    // SAFETY: the handler only does what a handler may.
    unsafe { libc::signal(signal, exit_with_code as *const () as libc::sighandler_t) };
    println!("trapped");
}

fn ignore(signal: i32) {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
    println!("ignored");
}

/// Makes a system call that a container should not get to make, and says how it went.
fn attempt(what: &str) {
    // SAFETY: none of these touches memory but its own.
    let result = unsafe {
        match what {
            "unshare-user" => libc::unshare(libc::CLONE_NEWUSER),
            "clone-user" => {
                let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
                match libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) {
                    0 => libc::_exit(0),
                    result => result as i32,
                }
            }
            "clone3" => libc::syscall(libc::SYS_clone3, 0, 0) as i32,
            "keyctl" => libc::syscall(libc::SYS_keyctl, 0, 0, 0, 0, 0) as i32,
            "x32" => libc::syscall(0x4000_0000 + libc::SYS_keyctl, 0, 0, 0, 0, 0) as i32,
            "future" => libc::syscall(500, 0, 0, 0, 0, 0) as i32,
            "mount" => libc::mount(
                c"none".as_ptr(),
                c"/tmp".as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                std::ptr::null(),
            ),
            "sethostname" => libc::sethostname(c"other".as_ptr(), 5),
            "mknod-disk" => {
                libc::mknod(
                    c"/dev/disk".as_ptr(),
                    libc::S_IFBLK | 0o600,
                    libc::makedev(254, 0),
                );
                libc::open(c"/dev/disk".as_ptr(), libc::O_RDONLY)
            }
            "vsock" => libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0),
            "alg" => libc::socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
            "inet" => libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0),
            // The family's upper half is not looked at by the kernel, but by the filter.
            "vsock-high" => {
                let family = (1i64 << 32) | i64::from(libc::AF_VSOCK);
                libc::syscall(libc::SYS_socket, family, libc::SOCK_STREAM, 0) as i32
            }
            "personality-layout" => libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong),
            "personality-read-implies-exec" => {
                libc::personality(libc::READ_IMPLIES_EXEC as libc::c_ulong)
            }
            "personality-ask" => libc::personality(0xffff_ffff),
            // PER_LINUX32, which the C library does not name.
            "personality-32" => libc::personality(8),
            "io-uring" => libc::syscall(libc::SYS_io_uring_setup, 1, 0) as i32,
            "bpf" => libc::syscall(libc::SYS_bpf, 0, 0, 0) as i32,
            "userfaultfd" => libc::syscall(libc::SYS_userfaultfd, 0) as i32,
            "add-key" => libc::syscall(libc::SYS_add_key, 0, 0, 0, 0, 0) as i32,
            "perf" => libc::syscall(libc::SYS_perf_event_open, 0, 0, 0, 0, 0) as i32,
            "pivot-root" => libc::syscall(libc::SYS_pivot_root, 0, 0) as i32,
            "open-by-handle" => libc::syscall(libc::SYS_open_by_handle_at, 0, 0, 0) as i32,
            "kexec" => libc::syscall(libc::SYS_kexec_load, 0, 0, 0, 0) as i32,
            "trace-me" => libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) as i32,
            "chown" => libc::chown(c"/".as_ptr(), 1, 1),
            other => panic!("unknown attempt `{other}`"),
        }
    };
    if result < 0 {
        println!("{what}: {}", std::io::Error::last_os_error());
    } else {
        println!("{what}: allowed");
    }
}
