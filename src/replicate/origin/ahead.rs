//! What will be asked for of a directory that the target does not have: all of it. So its files are asked
//! for as soon as they are told of, however far the walk is.

use super::{Item, Part, Seen, descend};
use crate::replicate::scan::{Look, Type};

/// Where in a directory, all of which is wanted, the stream was read to, ahead of the walk.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Of the directory at that place, relative to the tree's top.
    path: Vec<u8>,
    /// For each directory from the outermost on, the length of the path that it is in.
    above: Vec<usize>,
    /// The directory that was told of last.
    told: Vec<u8>,
}

impl Ahead {
    /// From the beginning of a directory on.
    pub(super) fn of(directory: &[u8]) -> Self {
        Self {
            path: directory.to_vec(),
            above: vec![0],
            told: Vec::new(),
        }
    }

    /// Whether there is more of it.
    pub(super) fn goes_on(&self) -> bool {
        !self.above.is_empty()
    }

    /// Takes in a piece; `wish` is told the path and size of each file that can be asked for: what has more
    /// names is asked for by the walk, which knows whether there was another.
    pub(super) fn read(&mut self, part: &Part, mut wish: impl FnMut(&[u8], u64)) {
        match part {
            Part::Files { items, .. } => {
                for item in items {
                    if let Some(look) = file(item) {
                        let here = self.path.len();
                        descend(&mut self.path, &item.name);
                        wish(&self.path, look.stamp.size);
                        self.path.truncate(here);
                    }
                }
            }
            Part::Directory(item) => self.told.clone_from(&item.name),
            Part::Enter(_) => {
                self.above.push(self.path.len());
                descend(&mut self.path, &self.told);
            }
            Part::Leave => {
                if let Some(above) = self.above.pop() {
                    self.path.truncate(above);
                }
            }
            Part::End => self.above.clear(),
            Part::Refused(_) | Part::Same => {}
        }
    }
}

fn file(item: &Item) -> Option<&Look> {
    match &item.seen {
        Seen::Entry { look, .. } if look.kind == Type::File && look.nlink == 1 => Some(look),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Gid, Uid};
    use crate::replicate::attributes::OwnXattrs;
    use crate::replicate::origin::Head;
    use crate::replicate::scan::{Moment, Stamp};

    fn look(kind: Type, nlink: u32) -> Look {
        let zero = Moment {
            seconds: 0,
            nanos: 0,
        };
        Look {
            kind,
            nlink,
            mode: 0,
            uid: Uid(0),
            gid: Gid(0),
            device: (0, 0),
            allocated: 0,
            stamp: Stamp {
                ino: 1,
                size: 7,
                mtime: zero,
                ctime: zero,
            },
        }
    }

    fn item(name: &str, look: Look) -> Item {
        Item {
            name: name.into(),
            seen: Seen::Entry {
                look,
                text: Vec::new(),
            },
        }
    }

    fn files(items: Vec<Item>) -> Part {
        Part::Files {
            looked: Moment {
                seconds: 0,
                nanos: 0,
            },
            items,
        }
    }

    fn enter() -> Part {
        Part::Enter(Head {
            look: look(Type::Directory, 2),
            xattrs: OwnXattrs::default(),
        })
    }

    #[test]
    fn all_files_beneath_a_directory_are_wished_for_in_the_order_of_the_walk() {
        let [one, two] = [1, 2].map(|nlink| look(Type::File, nlink));
        let directory = |name| Part::Directory(item(name, look(Type::Directory, 2)));
        let parts = [
            files(vec![
                item("a", one),
                item("b", two),
                item("l", look(Type::Symlink, 1)),
            ]),
            directory("cur"),
            enter(),
            files(vec![item("1", one)]),
            directory("deep"),
            enter(),
            files(vec![item("2", one)]),
            Part::Leave,
            Part::Leave,
            directory("new"),
            Part::Refused(crate::replicate::origin::Refused::TooDeep),
            directory("tmp"),
            enter(),
            files(vec![item("3", one)]),
            Part::Leave,
            Part::Leave,
        ];
        for (top, expected) in [
            ("", ["a", "cur/1", "cur/deep/2", "tmp/3"]),
            ("M", ["M/a", "M/cur/1", "M/cur/deep/2", "M/tmp/3"]),
        ] {
            let mut ahead = Ahead::of(top.as_bytes());
            let mut wished = Vec::new();
            for part in &parts {
                assert!(ahead.goes_on());
                ahead.read(part, |path, size| {
                    assert_eq!(size, 7);
                    wished.push(String::from_utf8(path.to_vec()).unwrap());
                });
            }
            assert_eq!(wished, expected);
            assert!(!ahead.goes_on());
        }
    }
}
