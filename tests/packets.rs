//! `skboutput`: the packets of known connections, read back from the file as any reader of pcap files does.

use std::path::PathBuf;
use std::process::Command;

use btc_tests::compile::btc;

/// A packet of a file: the bytes that it has, and how many the packet had.
struct Packet {
    bytes: Vec<u8>,
    length: u32,
    seconds: u32,
}

/// All of a file of raw IP packets with times in nanoseconds (pcap-savefile(5)).
fn read(file: &[u8]) -> Vec<Packet> {
    let word = |at: usize| u32::from_ne_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(word(0), 0xa1b2_3c4d, "times in nanoseconds");
    assert_eq!(file[4..8], [2, 0, 4, 0], "version 2.4");
    assert_eq!(word(20), 101, "packets begin with their IP header");
    let mut packets = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let (seconds, kept, length) = (word(at), word(at + 8) as usize, word(at + 12));
        assert!(word(at + 4) < 1_000_000_000);
        packets.push(Packet {
            bytes: file[at + 16..at + 16 + kept].to_vec(),
            length,
            seconds,
        });
        at += 16 + kept;
    }
    packets
}

/// Ports and flags of a TCP packet between local addresses.
fn tcp(packet: &Packet) -> Option<(u16, u16, u8)> {
    let bytes = &packet.bytes;
    let local = [127, 0, 0, 1];
    if bytes[0] != 0x45 || bytes[9] != 6 || bytes[12..16] != local || bytes[16..20] != local {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    Some((port(20), port(22), bytes[33]))
}

fn directory() -> PathBuf {
    let directory = btc_tests::work_directory().join("packets");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Compiles a script that writes to `FILE`, and runs it with a load: the file.
fn written(name: &str, script: &str, load: &str) -> PathBuf {
    let directory = directory();
    let file = directory.join(format!("{name}.pcap"));
    let script = script.replace("FILE", &file.display().to_string());
    let tool = directory.join(name);
    let made = Command::new(btc().unwrap())
        .args(["-e", &script, "-o"])
        .arg(&tool)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
    let program = btc_tests::compile::load().unwrap();
    let run = Command::new(&tool)
        .args(["-c", &format!("{} {load}", program.display())])
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    file
}

/// The packets of such a file.
fn traced(name: &str, script: &str, load: &str) -> Vec<Packet> {
    read(&std::fs::read(written(name, script, load)).unwrap())
}

#[test]
fn packets_of_connections_are_whole() {
    let script = r#"rawtracepoint:net_dev_queue /pid == cpid/ {
        if (skboutput("FILE", args.skb, args.skb.len, 14) != 0) { errorf("not sent"); }
    }"#;
    let packets = traced("whole", script, "connect 3 4731");
    let of_load = |packet: &&Packet| tcp(packet).is_some_and(|(a, b, _)| a == 4731 || b == 4731);
    let ours: Vec<_> = packets.iter().filter(of_load).collect();
    let flags = |wanted: u8| {
        let all = ours.iter().filter_map(|packet| tcp(packet));
        all.filter(|(_, _, flags)| flags & 0x3f == wanted).count()
    };
    // SYN, and SYN with ACK.
    assert_eq!((flags(0x02), flags(0x12)), (3, 3));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    for packet in ours {
        assert_eq!(packet.bytes.len() as u32, packet.length);
        let total = u16::from_be_bytes([packet.bytes[2], packet.bytes[3]]);
        assert_eq!(u32::from(total), packet.length);
        assert!(now.as_secs().abs_diff(u64::from(packet.seconds)) < 120);
    }
}

#[test]
fn a_length_cuts_packets() {
    let script =
        r#"rawtracepoint:net_dev_queue /pid == cpid/ { _ = skboutput("FILE", args.skb, 20, 14); }"#;
    let packets = traced("cut", script, "connect 2 4732");
    assert!(packets.len() >= 6);
    for packet in packets {
        assert_eq!(packet.bytes.len(), 20);
        assert!(packet.length >= 40);
    }
}

/// The offset is the packet's own: how long its Ethernet header is.
#[test]
fn an_offset_of_run_time() {
    let script = r#"rawtracepoint:net_dev_queue /pid == cpid/ {
        $header = args.skb.network_header - args.skb.mac_header;
        if (skboutput("FILE", args.skb, args.skb.len, $header) != 0) { errorf("not sent"); }
        _ = skboutput("FILE", args.skb, 20, args.skb.len + 1);
    }"#;
    let packets = traced("offset", script, "connect 2 4733");
    let (whole, behind): (Vec<_>, Vec<_>) = packets.iter().partition(|packet| packet.length > 0);
    assert_eq!(whole.len(), behind.len());
    assert!(behind.iter().all(|packet| packet.bytes.is_empty()));
    let starts = whole
        .iter()
        .filter_map(|packet| tcp(packet))
        .filter(|(_, port, flags)| *port == 4733 && flags & 0x3f == 0x02);
    assert_eq!(starts.count(), 2);
    let length =
        |packet: &&Packet| u32::from(u16::from_be_bytes([packet.bytes[2], packet.bytes[3]]));
    assert!(whole.iter().all(|packet| packet.length == length(packet)));
}

#[test]
fn tcpdump_reads_the_file() {
    let script = r#"rawtracepoint:net_dev_queue /pid == cpid/ {
        _ = skboutput("FILE", args.skb, args.skb.len, 14);
    }"#;
    let file = written("tcpdump", script, "connect 3 4734");
    let packets = read(&std::fs::read(&file).unwrap());
    let shown = Command::new("tcpdump")
        .args(["-nn", "-tt", "-r"])
        .arg(&file)
        .output()
        .expect("tcpdump, which `make test-deps` installs");
    assert!(shown.status.success(), "{shown:?}");
    let said = String::from_utf8_lossy(&shown.stderr);
    assert!(said.contains("link-type RAW (Raw IP)"), "{said}");
    let text = String::from_utf8_lossy(&shown.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), packets.len(), "{text}");
    for (line, packet) in lines.iter().zip(&packets) {
        assert!(line.starts_with(&packet.seconds.to_string()), "{line}");
        if let Some((from, to, _)) = tcp(packet) {
            let ends = format!(" IP 127.0.0.1.{from} > 127.0.0.1.{to}: Flags [");
            assert!(line.contains(&ends), "{line}");
        }
    }
    let count = |flags: &str, port: &str| {
        let of = |line: &&&str| line.contains(flags) && line.contains(port);
        lines.iter().filter(of).count()
    };
    assert_eq!(count("Flags [S],", " > 127.0.0.1.4734:"), 3, "{text}");
    assert_eq!(count("Flags [S.],", " IP 127.0.0.1.4734 > "), 3, "{text}");
}
