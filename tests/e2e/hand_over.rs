use crate::village::village;
#[test]
fn t() { let s = village(); let r = s.reconcile(["plan"]); println!("{}", r.describe()); let r = s.reconcile(["apply","--yes"]);  println!("{}", r.describe()); panic!() }
