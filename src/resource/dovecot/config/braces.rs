//! Alternatives in braces, as glob(3) expands them with `GLOB_BRACE`. Pure.

/// A pattern for each alternative in braces, in their order (`GLOB_BRACE` of glob(3)); at most
/// `limit` of them.
pub(super) fn alternatives(pattern: &str, limit: usize) -> Vec<String> {
    let mut done = Vec::new();
    let mut waiting = vec![pattern.to_owned()];
    while let Some(pattern) = waiting.pop() {
        match first_braces(&pattern) {
            Some((before, choices, after)) if waiting.len() + choices.len() < limit => {
                let each = choices.iter().rev();
                waiting.extend(each.map(|choice| format!("{before}{choice}{after}")));
            }
            _ if done.len() < limit => done.push(pattern),
            _ => break,
        }
    }
    done
}

/// The first pair of braces: what stands before, the alternatives, what stands after.
fn first_braces(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = pattern.find('{')?;
    let inside = &pattern[open + 1..];
    let mut depth = 0;
    let mut start = 0;
    let mut choices = Vec::new();
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                choices.push(&inside[start..at]);
                start = at + 1;
            }
            '}' => {
                choices.push(&inside[start..at]);
                return Some((&pattern[..open], choices, &inside[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_come_in_the_order_of_the_shell() {
        for (pattern, expanded) in [
            ("a.conf", &["a.conf"][..]),
            ("{b,a}.conf", &["b.conf", "a.conf"]),
            ("{a,b}{1,2}", &["a1", "a2", "b1", "b2"]),
            ("x{a,{b,c}d}", &["xa", "xbd", "xcd"]),
            ("{,x}a", &["a", "xa"]),
            ("{a", &["{a"]),
        ] {
            assert_eq!(alternatives(pattern, 100), expanded, "{pattern}");
        }
    }

    #[test]
    fn an_explosion_is_bounded() {
        assert!(alternatives(&"{a,b}".repeat(60), 100).len() <= 100);
    }
}
