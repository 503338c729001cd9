//! A sender, as other people's MTAs are: what is not acknowledged is tried again.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::ledger::{Ledger, Number, Stage};
use super::line::{Attempt, CLIENT, Line, Protocol, Trouble};

/// A new letter each time, at a brisk pace: three senders make seven and a half letters a second.
const EVERY: Duration = Duration::from_millis(400);

/// A real MTA waits minutes; tests do not.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How an attempt ended.
enum End {
    /// 250 after the dot.
    Acknowledged,
    /// Certainly not taken: to be tried again.
    Later(Trouble),
    /// The letter was out, and no answer came.
    Doubtful(Trouble),
    /// 5xx: a real MTA returns the letter to its sender.
    Rejected(String),
}

/// Sends until the end. The first sender keeps its connection, as MTAs with much mail do; the others
/// make one for each letter.
pub(super) fn run(ledger: &Ledger, address: IpAddr, sender: usize) {
    let mut waiting: VecDeque<(Instant, Number, usize)> = VecDeque::new();
    let mut connection = None;
    let mut next = Instant::now();
    loop {
        match ledger.stage() {
            Stage::Running => {
                while next <= Instant::now() {
                    let (number, user) = ledger.write_letter();
                    waiting.push_back((next, number, user));
                    next += ledger.pace.slowed(EVERY);
                }
            }
            Stage::Finishing if waiting.is_empty() => return,
            Stage::Finishing => {}
            Stage::Abandoned => return,
        }
        let due = waiting.front().map_or(next, |(due, ..)| *due);
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            ledger.rest(early);
            continue;
        }
        let Some((_, number, user)) = waiting.pop_front() else {
            continue;
        };
        let mut line = match connection.take() {
            Some(line) => line,
            None => match connect(address) {
                Ok(line) => line,
                Err(trouble) => {
                    ledger.complain(Protocol::Smtp, "a sender", &trouble);
                    // Not this one alone: nobody is there.
                    waiting.push_front((Instant::now() + TRY_AGAIN, number, user));
                    continue;
                }
            },
        };
        match send(&mut line, ledger, number, user) {
            End::Acknowledged => {
                ledger.note(number, |letter| letter.acknowledged = Some(Instant::now()));
                ledger.progressed(Protocol::Smtp);
                if sender == 0 {
                    connection = Some(line);
                } else {
                    // Whatever comes of it: the letter is taken.
                    line.say("QUIT").ok();
                }
                continue;
            }
            End::Rejected(answer) => {
                let user = &ledger.users[user];
                ledger.wrong(format!("letter {number} to {user} was rejected: {answer}"));
                continue;
            }
            End::Doubtful(trouble) => {
                ledger.note(number, |letter| letter.doubtful += 1);
                ledger.complain(Protocol::Smtp, &ledger.users[user], &trouble);
            }
            End::Later(trouble) => ledger.complain(Protocol::Smtp, &ledger.users[user], &trouble),
        }
        waiting.push_back((Instant::now() + TRY_AGAIN, number, user));
    }
}

fn connect(address: IpAddr) -> Attempt<Line> {
    let mut line = Line::open(address, Protocol::Smtp, CLIENT)?;
    line.say("EHLO sender.example.com")?;
    expect(&mut line, "250")?;
    Ok(line)
}

fn send(line: &mut Line, ledger: &Ledger, number: Number, user: usize) -> End {
    let to = &ledger.users[user];
    match envelope(line, to) {
        Ok(()) => {}
        Err(trouble) => return refusal(trouble),
    }
    // Of several sizes, as real ones are.
    let body = "A line of forty characters, or about so.\r\n".repeat(1 + number as usize % 50);
    let text = format!(
        "From: Sender <sender@example.com>\r\nTo: {to}@example.org\r\nSubject: load {number}\r\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0100\r\nMessage-ID: {}\r\n\r\n{body}",
        ledger.message_id(number)
    );
    // Without its end nobody takes it.
    if let Err(trouble) = line.send(&text) {
        return End::Later(trouble);
    }
    if let Err(trouble) = line.say(".") {
        return End::Doubtful(trouble);
    }
    match expect(line, "250") {
        Ok(()) => End::Acknowledged,
        Err(Trouble::Broken(error)) => End::Doubtful(Trouble::Broken(error)),
        Err(said) => refusal(said),
    }
}

fn envelope(line: &mut Line, to: &str) -> Attempt<()> {
    line.say("MAIL FROM:<sender@example.com>")?;
    expect(line, "250")?;
    line.say(&format!("RCPT TO:<{to}@example.org>"))?;
    expect(line, "250")?;
    line.say("DATA")?;
    expect(line, "354")
}

fn refusal(trouble: Trouble) -> End {
    match trouble {
        Trouble::Said(answer) if answer.starts_with('5') => End::Rejected(answer),
        other => End::Later(other),
    }
}

fn expect(line: &mut Line, code: &str) -> Attempt<()> {
    loop {
        let answer = line.hear()?;
        if !answer.starts_with(code) {
            return Err(Trouble::Said(answer));
        }
        if answer.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
