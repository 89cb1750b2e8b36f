//! The main process of containers that tests look out of. What it sees goes to standard output, a
//! line each, and from there through `awslogs` to whoever asks.
//!
//! * `probe connect ADDRESS:PORT` says `reached` or `not reached: why`, again and again;
//! * `probe serve TEXT` is a web server on port 8080 that answers with the text, whatever is asked;
//! * `probe host TEXT` is such a server on port 80, and says what it is answered there, and as `ask` does;
//! * `probe ask` says what it is answered at the paths that its environment names: its credentials and
//!   its task's metadata;
//! * `probe look-up NAME…` says what it finds about names, and what the resolver answers;
//! * `probe links` says what links and routes it has;
//! * `probe greet ADDRESS…` says what it is told there, and `probe greeter PORT` tells whoever comes who that is;
//! * `probe limits` says what it finds about its limits and powers;
//! * `probe variable NAME` says what the variable holds;
//! * `probe echo` sends datagrams that come to port 8080 back, with `echo ` in front;
//! * `probe sleep` does nothing, and listens nowhere;
//! * `probe check` ends at once, with code 0;
//! * `probe crash` ends at once, with code 3;
//! * `probe stubborn` does not listen to SIGTERM;
//! * `probe eat` takes memory until it is killed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use nix::sys::signal::{SigSet, Signal};

const PAUSE: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words != ["stubborn"] {
        end_when_asked();
    }
    match words[..] {
        ["connect", address] => connect(address.parse().expect("an address and a port")),
        ["serve", text] => serve(8080, text),
        ["host", text] => host(text),
        ["ask"] => ask(),
        ["variable", name] => {
            println!("{}", std::env::var(name).unwrap_or_default());
            sleep()
        }
        ["tell", name] => {
            println!("{}", std::env::var(name).unwrap_or_default());
            ExitCode::SUCCESS
        }
        ["echo"] => echo(),
        ["look-up", ref names @ ..] => look_up(names),
        ["limits"] => limits(),
        ["links"] => links(),
        ["greet", ref addresses @ ..] => greet(addresses),
        ["greeter", port] => greeter(port),
        ["sleep" | "stubborn"] => sleep(),
        ["check"] => ExitCode::SUCCESS,
        ["crash"] => {
            println!("crashing");
            ExitCode::from(3)
        }
        ["eat"] => eat(),
        _ => ExitCode::from(2),
    }
}

fn connect(address: SocketAddr) -> ExitCode {
    loop {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => println!("reached"),
            Err(error) => println!("not reached: {error}"),
        }
        std::thread::sleep(PAUSE);
    }
}

fn host(text: &str) -> ExitCode {
    let own = text.to_owned();
    std::thread::spawn(move || serve(80, &own));
    let answered = loop {
        match get("127.0.0.1:80", "/") {
            Ok(answer) => break answer,
            Err(_) => std::thread::sleep(PAUSE),
        }
    };
    println!("own {answered}");
    ask()
}

fn serve(port: u16, text: &str) -> ExitCode {
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    println!("serving");
    for stream in listener.incoming().flatten() {
        let text = text.to_owned();
        std::thread::spawn(move || answer(stream, &text));
    }
    ExitCode::SUCCESS
}

fn echo() -> ExitCode {
    let socket = UdpSocket::bind("0.0.0.0:8080").expect("the port is free");
    println!("serving");
    let mut bytes = [0; 1024];
    while let Ok((count, from)) = socket.recv_from(&mut bytes) {
        let _ = socket.send_to(&[b"echo ", &bytes[..count]].concat(), from);
    }
    ExitCode::SUCCESS
}

fn answer(mut stream: TcpStream, text: &str) -> io::Result<()> {
    // A request of these tests arrives in one piece.
    let mut request = [0; 16 * 1024];
    let _ = stream.read(&mut request)?;
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
}

fn ask() -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let credentials = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let metadata = variable("ECS_CONTAINER_METADATA_URI_V4");
    let task = metadata
        .strip_prefix("http://169.254.170.2")
        .unwrap_or_default();
    for path in [credentials, format!("{task}/task")] {
        match get("169.254.170.2:80", &path) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("no answer: {error}"),
        }
    }
    sleep()
}

/// Ends when all is said; a task's does not start again.
fn look_up(names: &[&str]) -> ExitCode {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let configuration = file("/etc/resolv.conf");
    print!("{configuration}{}", file("/etc/hosts"));
    println!("HOSTNAME={}", std::env::var("HOSTNAME").unwrap_or_default());
    let mut servers = configuration
        .lines()
        .filter_map(|it| it.strip_prefix("nameserver "));
    let server = servers.next().unwrap_or_default();
    for name in names {
        match address_of(server, name) {
            Ok(answer) => println!("{name} {answer}"),
            Err(error) => println!("{name}: no answer: {error}"),
        }
    }
    println!("looked up");
    if std::env::var_os("AWS_EXECUTION_ENV").is_some() {
        return sleep();
    }
    ExitCode::SUCCESS
}

/// The code of the answer, and the first address in it.
fn address_of(server: &str, name: &str) -> io::Result<String> {
    let name = Name::from_ascii(format!("{name}.")).map_err(io::Error::other)?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, RecordType::A));
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.connect((server, 53))?;
    socket.send(&question.to_vec().map_err(io::Error::other)?)?;
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes)?;
    let answer = Message::from_vec(&bytes[..length]).map_err(io::Error::other)?;
    let address = answer.answers.first().map(|it| it.data.to_string());
    let text = format!(
        "{:?} {}",
        answer.metadata.response_code,
        address.unwrap_or_default()
    );
    Ok(text.trim_end().to_owned())
}

fn links() -> ExitCode {
    for (path, head) in [("/proc/self/net/dev", 2), ("/proc/self/net/route", 1)] {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for line in text.lines().skip(head) {
            let words: Vec<&str> = line
                .split([' ', ':', '\t'])
                .filter(|it| !it.is_empty())
                .collect();
            match head {
                2 => println!("link {}", words[0]),
                _ => println!("route {} by {}", words[1], words[0]),
            }
        }
    }
    ExitCode::SUCCESS
}

/// What servers at these addresses say.
fn greet(addresses: &[&str]) -> ExitCode {
    for address in addresses {
        let ask = || -> io::Result<String> {
            let to: SocketAddr = address.parse().map_err(io::Error::other)?;
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
            let mut said = String::new();
            stream.read_to_string(&mut said)?;
            Ok(said)
        };
        match ask() {
            Ok(said) => println!("{address}: {said}"),
            Err(error) => println!("{address}: no answer: {}", error.kind()),
        }
    }
    ExitCode::SUCCESS
}

fn greeter(port: &str) -> ExitCode {
    let Ok(listener) = TcpListener::bind(format!("0.0.0.0:{port}")) else {
        return ExitCode::FAILURE;
    };
    while let Ok((mut stream, peer)) = listener.accept() {
        let _ = stream.write_all(peer.ip().to_string().as_bytes());
    }
    ExitCode::SUCCESS
}

fn limits() -> ExitCode {
    let files = [
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory.max",
    ];
    for text in files
        .iter()
        .filter_map(|it| std::fs::read_to_string(it).ok())
    {
        println!("memory {}", text.trim());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|it| it.starts_with("NoNewPrivs")) {
        println!("{line}");
    }
    ExitCode::SUCCESS
}

/// The body of an answer, whatever its status.
fn get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").unwrap_or_default().1;
    Ok(body.to_owned())
}

fn sleep() -> ExitCode {
    println!("sleeping");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// The first process of a container gets only the signals that it asks for.
fn end_when_asked() {
    let mut terminate = SigSet::empty();
    terminate.add(Signal::SIGTERM);
    terminate.thread_block().expect("the set is a good one");
    std::thread::spawn(move || {
        if terminate.wait().is_ok() {
            std::process::exit(0);
        }
    });
}

fn eat() -> ExitCode {
    const PIECE: usize = 8 << 20;
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        // Written to, or the kernel would give none of it.
        eaten.push(vec![1; PIECE]);
        println!("ate {} MiB", eaten.len() * 8);
    }
}
