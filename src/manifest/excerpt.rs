//! The part of the text that a problem shows: bounded, and safe on a terminal.
//!
//! An excerpt keeps the line structure of the whole text, so that line numbers are right, but only
//! the lines around the labels have content; long lines keep what is near a label, and control
//! characters are replaced. Columns are those of the excerpt: right but in shortened lines.

use super::problem::Place;

/// The text of a manifest and the name that it goes by in messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'t> {
    pub(crate) name: &'t str,
    pub(crate) text: &'t str,
}

/// Lines longer than this, in bytes, are shortened.
const LONG: usize = 160;
/// What is kept on each side of either end of a label in a long line, in bytes.
const AROUND: usize = 48;

impl Source<'_> {
    /// The excerpt that shows these places, and the places within it.
    ///
    /// A place over several lines is cut to its first, an empty one at the end of a line stays
    /// empty.
    pub(super) fn excerpt(&self, places: &[Place]) -> (String, Vec<Place>) {
        let places: Vec<Place> = places
            .iter()
            .map(|place| self.first_line_of(*place))
            .collect();
        let windows: Vec<Place> = places
            .iter()
            .map(|place| self.lines_around(*place))
            .collect();
        let mut moved = places.clone();
        let mut out = String::new();
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let next = start + line.len();
            if windows
                .iter()
                .any(|window| window.start < next && start < window.end)
            {
                let body = line.strip_suffix('\n').unwrap_or(line);
                let body = body.strip_suffix('\r').unwrap_or(body);
                let last = next == self.text.len();
                let holds = |at: usize| start <= at && (at < next || (last && at == next));
                let cut = |at: usize| (at - start).min(body.len());
                let marks: Vec<(usize, Place)> = places
                    .iter()
                    .enumerate()
                    .filter(|(_, place)| holds(place.start))
                    .map(|(label, place)| {
                        let (start, end) = (cut(place.start), cut(place.end));
                        (label, Place { start, end })
                    })
                    .collect();
                copy_line(body, &marks, &mut out, &mut moved);
            }
            if line.ends_with('\n') {
                out.push('\n');
            }
            start = next;
        }
        (out, moved)
    }

    /// The line of a place, with the one before and two after: miette shows one, but joins two
    /// excerpts that have a single line between them.
    fn lines_around(&self, place: Place) -> Place {
        let before = |at: usize| self.text[..at].rfind('\n');
        let after = |at: usize| self.text[at..].find('\n').map(|found| at + found + 1);
        let start = before(place.start).and_then(before).map_or(0, |at| at + 1);
        let end = after(place.start)
            .and_then(after)
            .and_then(after)
            .unwrap_or(self.text.len());
        Place { start, end }
    }

    fn first_line_of(&self, place: Place) -> Place {
        let inside = &self.text[place.start..place.end];
        let end = inside.find(['\n', '\r']).unwrap_or(inside.len());
        Place {
            start: place.start,
            end: place.start + inside[..end].trim_end().len(),
        }
    }
}

/// Copies a line, shortened and cleaned, and enters where its labels (indexed, with places in the
/// line) came to lie.
fn copy_line(line: &str, marks: &[(usize, Place)], out: &mut String, moved: &mut [Place]) {
    let wanted = |at: usize| {
        line.len() <= LONG
            || (marks.is_empty() && at < AROUND)
            || marks
                .iter()
                .any(|(_, mark)| at.abs_diff(mark.start) < AROUND || at.abs_diff(mark.end) < AROUND)
    };
    let mut gap = Gap::No;
    for (at, c) in line.char_indices().chain([(line.len(), '\0')]) {
        for (label, mark) in marks {
            if at == mark.start {
                moved[*label].start = out.len();
            }
            if at == mark.end {
                moved[*label].end = out.len();
            }
        }
        if at == line.len() {
            break;
        }
        if wanted(at) {
            out.push(printable(c));
            gap = Gap::No;
        } else if matches!(gap, Gap::No) {
            out.push('…');
            gap = Gap::Shown;
        }
    }
}

/// Whether the part being left out is already marked.
enum Gap {
    No,
    Shown,
}

/// The character, or a picture of it if it would steer the terminal.
pub(super) fn printable(c: char) -> char {
    match c {
        '\t' => c,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        c if is_unsafe(c) => '\u{fffd}',
        c => c,
    }
}

/// Control characters, and those that make a text show as another one.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str, start: usize, end: usize) -> (String, String) {
        let source = Source { name: "m", text };
        let (text, moved) = source.excerpt(&[Place { start, end }]);
        let label = text[moved[0].start..moved[0].end].to_owned();
        (text, label)
    }

    #[test]
    fn only_the_lines_around_a_label_are_kept() {
        let (text, label) = excerpt("one\ntwo\nthree\nfour\nfive\nsix\nseven\n", 14, 18);
        assert_eq!(text, "\n\nthree\nfour\nfive\nsix\n\n");
        assert_eq!(label, "four");
    }

    #[test]
    fn a_long_line_keeps_what_is_near_the_label() {
        let line = format!("{}ü=VALUE{}", "x".repeat(100_000), "y".repeat(100_000));
        let (text, label) = excerpt(&line, 100_003, 100_008);
        assert_eq!(label, "VALUE");
        assert!(text.len() < 200, "{text}");
        assert!(text.starts_with("…x") && text.ends_with("y…"), "{text}");
    }

    #[test]
    fn a_long_label_keeps_both_ends() {
        let line = format!("k: {}END", "v".repeat(1_000_000));
        let (text, label) = excerpt(&line, 3, line.len());
        assert!(label.starts_with('v') && label.ends_with("END"), "{label}");
        assert!(text.len() < 300, "{text}");
    }

    #[test]
    fn the_terminal_cannot_be_steered() {
        let (text, label) = excerpt("a: \u{1b}[2J\u{202e}b\r\n", 3, 11);
        assert_eq!(text, "a: ␛[2J\u{fffd}b\n");
        assert_eq!(label, "␛[2J\u{fffd}b");
    }

    #[test]
    fn a_place_over_several_lines_is_cut_to_its_first() {
        assert_eq!(excerpt("a:\n  b: 1  \n  c: 2\n", 5, 18).1, "b: 1");
    }

    #[test]
    fn the_end_of_the_text_has_a_place() {
        assert_eq!(
            excerpt("a: 1\n", 5, 5),
            ("a: 1\n".to_owned(), String::new())
        );
        assert_eq!(excerpt("", 0, 0), (String::new(), String::new()));
    }

    proptest::proptest! {
        #[test]
        fn any_place_in_any_text_can_be_shown(
            text in "([a-cü\u{1b}]{0,200}(\n|\r\n|\r)?){0,5}",
            start: proptest::sample::Index,
            end: proptest::sample::Index,
        ) {
            let mut ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            ends.push(text.len());
            let (a, b) = (ends[start.index(ends.len())], ends[end.index(ends.len())]);
            let (shown, label) = excerpt(&text, a.min(b), a.max(b));
            proptest::prop_assert!(label.len() <= shown.len());
            let lines = |text: &str| text.matches('\n').count();
            proptest::prop_assert_eq!(lines(&shown), lines(&text));
        }
    }
}
