//! Hostile clients: many connections, first words without a second, one byte at a time.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use crate::now;

/// Where the one attacker is.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
/// Where slow clients are.
const SLOW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 20);
/// How many slow clients there are.
const SLOW_CLIENTS: usize = 200;

/// Connections as fast as they can be had, of which the newest are held.
#[derive(Clone, Debug)]
pub(crate) struct Flood {
    /// How many are held; the oldest is reset for a new one.
    pub(crate) hold: usize,
    /// How many are opened a second; as many as can be without.
    pub(crate) pace: Option<u32>,
    pub(crate) from: Sources,
    /// What each sends.
    pub(crate) words: Vec<u8>,
}

/// Where connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// [`ATTACKER`].
    One,
    /// Each from an address of its own in 127.1.0.0/16.
    Many,
    /// Each from an address of its own in `fd66:6d76::/64`, which `tests/attack/run --wire` makes local.
    Prefix,
}

// === impl Sources ===

impl Sources {
    fn address(self, number: u32) -> SocketAddr {
        let [.., high, low] = number.to_be_bytes();
        match self {
            Self::One => (ATTACKER, 0).into(),
            Self::Many => (Ipv4Addr::new(127, 1, high, low), 0).into(),
            Self::Prefix => {
                let [high, low] =
                    [number >> 16, number & 0xffff].map(|half| u16::try_from(half).unwrap_or(0));
                (Ipv6Addr::new(0xfd66, 0x6d76, 0, 0, 1, 0, high, low), 0).into()
            }
        }
    }
}

// === impl Flood ===

impl Flood {
    /// As fast as can be, holding far more than the daemon does by default.
    pub(crate) fn idle() -> Self {
        Self { hold: 5_000, pace: None, from: Sources::One, words: Vec::new() }
    }

    /// The same with half of a request.
    pub(crate) fn partial() -> Self {
        Self { words: b"GET /csp/bin/mirror_sta".to_vec(), ..Self::idle() }
    }

    /// Floods `server` until it is stopped; returns what it did.
    pub(crate) fn run(&self, server: SocketAddr, stop: &AtomicBool) -> String {
        let (began, mut opened, mut most) = (now(), 0_u32, 0);
        let mut held = VecDeque::with_capacity(self.hold + 1);
        while !stop.load(Ordering::Relaxed) {
            if let Some(pace) = self.pace
                && f64::from(opened) > began.elapsed().as_secs_f64() * f64::from(pace) + f64::from(pace) / 4.0
            {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            while held.len() > self.hold {
                held.pop_front();
            }
            match self.open(server, opened) {
                Ok(socket) => {
                    held.push_back(socket);
                    opened = opened.wrapping_add(1);
                    most = most.max(held.len());
                }
                // No port or no descriptor is left.
                Err(_) if held.pop_front().is_some() => {}
                // The daemon has gone.
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        let rate = f64::from(opened) / began.elapsed().as_secs_f64();
        format!("{rate:.0} connections/s, {most} held")
    }

    fn open(&self, server: SocketAddr, number: u32) -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let from = self.from.address(number);
        let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        if from.is_ipv6() {
            // No interface has the address; a route makes it local.
            sockopt::set_ipv6_freebind(&socket, true)?;
        }
        rustix::net::bind(&socket, &from)?;
        // Closing resets: no port of ours stays behind.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        match rustix::net::connect(&socket, &server) {
            // On loopback it is there at once, unless the queue is full.
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        if !self.words.is_empty() {
            // A connection that waits in a queue has no room yet, and is a nuisance all the same.
            let _ = rustix::net::send(&socket, &self.words, SendFlags::NOSIGNAL);
        }
        Ok(socket)
    }
}

/// Two hundred clients that send a byte a second, and come again whenever they are closed.
pub(crate) fn drip(server: SocketAddr, stop: &AtomicBool) -> String {
    let head =
        b"GET /csp/bin/mirror_status.cxw HTTP/1.1\r\nHost: member\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let mut clients: Vec<Option<(TcpStream, usize)>> = (0..SLOW_CLIENTS).map(|_| None).collect();
    let (each, mut due, mut connected) = (Duration::from_secs(1) / 200, now(), 0_u64);
    while !stop.load(Ordering::Relaxed) {
        for client in &mut clients {
            due = (due + each).max(now());
            std::thread::sleep(due.saturating_duration_since(now()));
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if client.is_none() {
                *client = slow_client(server).ok().map(|stream| (stream, 0));
                connected += u64::from(client.is_some());
            }
            if let Some((stream, sent)) = client {
                let byte = head.get(*sent).copied().unwrap_or(b'a');
                *sent += 1;
                if stream.write_all(&[byte]).is_err() {
                    *client = None;
                }
            }
        }
    }
    format!("{SLOW_CLIENTS} clients at a byte a second, {connected} connections")
}

fn slow_client(server: SocketAddr) -> Result<TcpStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(SLOW, 0))?;
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(errno) => Err(errno.into()),
    }
}
