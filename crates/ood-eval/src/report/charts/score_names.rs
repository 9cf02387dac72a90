//! Which scores the runs of a chart are evaluated with, in words.

use std::fmt::Write;

use crate::report::member::Member;

/// The score of all runs with its article; if they differ, that of each run.
pub(super) fn scores_of(members: &[Member<'_>]) -> String {
    let names = members.iter().map(Member::score_name);
    let differ = names.clone().zip(names.skip(1)).any(|(a, b)| a != b);
    match members.first().map(Member::score_name) {
        _ if differ => of_each_run(members),
        None | Some("entropy") => "the entropy".to_owned(),
        Some(name) => format!("the score {name}"),
    }
}

/// The score of each run, which stands in place of an article and a noun.
fn of_each_run(members: &[Member<'_>]) -> String {
    let mut text = "the score that the run is evaluated with (".to_owned();
    for (number, member) in members.iter().enumerate() {
        let separator = if number == 0 { "" } else { ", " };
        let _ = write!(
            text,
            "{separator}{}: {}",
            member.run.name,
            member.score_name()
        );
    }
    text + ")"
}
