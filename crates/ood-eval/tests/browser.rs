//! The report in headless Chromium, at the width of a desktop and of a phone, light and dark.
//!
//! Without a browser the tests skip and say so. With `OODSEG_BROWSER`, the name of its executable, a missing one is a
//! failure.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;
use stage_testing::command::succeed;

/// What `browser/probe.js` finds in a page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Findings {
    inner_width: f64,
    scroll_width: f64,
    /// Elements beyond the right edge that no box scrolls.
    sticks_out: Vec<String>,
    is_dark: bool,
    /// Red, green and blue behind the page's text.
    ground: [f64; 3],
    /// Lowest contrast of a text with what is behind it, as WCAG defines it, from 1 to 21.
    contrast: Least,
    /// Smallest text, in pixels.
    text_size: Least,
    viewer_opens: bool,
    viewer_closes: bool,
    /// Addresses of everything that the page loads.
    loaded: Vec<String>,
    dead_links: Vec<String>,
    double_ids: Vec<String>,
    n_links: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Least {
    value: f64,
    what: String,
}

/// What a browser reports about a page that it shows.
#[derive(Debug)]
struct Visit {
    findings: Findings,
    /// Lines of the page's console.
    console: Vec<String>,
    /// Addresses that the page requests from the network; requests of the browser itself are left out.
    requests: Vec<String>,
}

/// The browser; `None` if there is none and `OODSEG_BROWSER` names none.
fn browser() -> Result<Option<PathBuf>> {
    let asked = std::env::var("OODSEG_BROWSER").ok();
    let asked = asked.filter(|name| !name.is_empty());
    let names = match &asked {
        Some(name) => vec![name.as_str()],
        None => vec!["chromium", "chromium-browser", "google-chrome"],
    };
    let starts = |name: &&str| {
        let done = Command::new(name).arg("--version").output();
        done.is_ok_and(|done| done.status.success())
    };
    let found = names.into_iter().find(starts);
    ensure!(
        found.is_some() || asked.is_none(),
        "OODSEG_BROWSER is {:?}, which does not start",
        asked.unwrap_or_default()
    );
    if found.is_none() {
        eprintln!("SKIPPED: no Chromium here; install it, or name one with OODSEG_BROWSER");
    }
    Ok(found.map(PathBuf::from))
}

/// Opens `html` in a frame of `width` pixels, because the window of a headless browser cannot be as narrow as a phone.
fn visit(browser: &Path, html: &str, width: u32, is_dark: bool) -> Result<Visit> {
    let dir = tempfile::tempdir()?;
    let file = |name: &str| dir.path().join(name);
    let probe = concat!("<script>", include_str!("browser/probe.js"), "</script>");
    fs::write(file("page.html"), format!("{html}{probe}"))?;
    let frame = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><style>:root {{ color-scheme: light dark; }}</style>\
         <pre id=\"findings\"></pre>\
         <script>addEventListener('message', e => {{ findings.textContent = e.data; }});</script>\
         <iframe src=\"page.html\" style=\"border: 0\" width=\"{width}\" height=\"900\"></iframe>"
    );
    fs::write(file("frame.html"), frame)?;
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        "--window-size=1400,1000",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", file("profile").display()));
    command.arg(format!("--log-net-log={}", file("network.json").display()));
    if is_dark {
        command.arg("--blink-settings=preferredColorScheme=0");
    }
    command.arg(format!("file://{}", file("frame.html").display()));
    let done = command.output()?;
    let dom = String::from_utf8_lossy(&done.stdout);
    let log = String::from_utf8_lossy(&done.stderr);
    let found = dom.split("<pre id=\"findings\">").nth(1);
    let found = found.and_then(|rest| rest.split("</pre>").next());
    let found = found.with_context(|| format!("the browser printed no page: {log}"))?;
    let findings = serde_json::from_slice(&BASE64_STANDARD.decode(found)?)
        .with_context(|| format!("the probe printed no findings: {log}"))?;
    let console = log.lines().filter(|line| line.contains(":CONSOLE"));
    Ok(Visit {
        findings,
        console: console.map(str::to_owned).collect(),
        requests: requests(&fs::read_to_string(file("network.json"))?)?,
    })
}

/// Addresses in Chromium's network log that a page requested. Requests of the browser itself have no origin.
fn requests(log: &str) -> Result<Vec<String>> {
    let log: Value = serde_json::from_str(log)?;
    let events = log["events"].as_array().context("events")?;
    let of_page = |event: &Value| {
        let url = event["params"]["url"].as_str()?;
        let initiator = event["params"]["initiator"].as_str()?;
        (initiator != "not an origin").then(|| url.to_owned())
    };
    Ok(events.iter().filter_map(of_page).collect())
}

/// A report of the toy runs with all parts that a report can have.
fn report(root: &Path) -> Result<String> {
    common::write_world(root)?;
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
        succeed(command.current_dir(root).args(args))
    };
    for name in ["base", "retrained"] {
        let (logits, output) = (
            format!("{name}/logits/streets"),
            format!("{name}/closed_set/streets"),
        );
        let known = ["--logits", &logits, "--labels", "labels/streets"];
        run(&[&["closed-set", "--output", &output], &known[..]].concat())?;
    }
    let published = "[[result]]\nname = \"a method\"\ndatasets = [\"lost\"]\nsource = \"a table\"\nauprc = 12.3\nfpr95 = 4\n";
    fs::write(root.join("published.toml"), published)?;
    // a name that is longer than a phone is wide
    let long = "--run=a run with the long name that experiments tend to get=base";
    report_of(root, &[long, "--run", "seeds=base,retrained"])
}

/// A report of the toy runs.
fn report_of(root: &Path, runs: &[&str]) -> Result<String> {
    let arguments = ["report", "--labels", "labels", "--output", "report"];
    let published = ["--published", "published.toml"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    command.args(arguments).args(published).args(runs);
    succeed(command.current_dir(root))?;
    Ok(fs::read_to_string(root.join("report/report.html"))?)
}

const DESKTOP: u32 = 1280;
const PHONE: u32 = 390;

#[test]
fn report_reads_well_in_a_browser() -> Result<()> {
    let Some(browser) = browser()? else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let html = report(dir.path())?;
    for (width, is_dark) in [
        (DESKTOP, false),
        (DESKTOP, true),
        (PHONE, false),
        (PHONE, true),
    ] {
        let visit = visit(&browser, &html, width, is_dark)?;
        let found = &visit.findings;
        let place = format!("{width} pixels, dark {is_dark}: {visit:?}");
        assert_eq!(
            (found.inner_width, found.is_dark),
            (f64::from(width), is_dark)
        );
        assert!(visit.console.is_empty(), "{place}");
        assert!(visit.requests.is_empty(), "{place}");
        assert!(found.loaded.is_empty(), "{place}");
        assert!(found.scroll_width <= found.inner_width, "{place}");
        assert!(found.sticks_out.is_empty(), "{place}");
        assert!(found.viewer_opens && found.viewer_closes, "{place}");
        assert!(found.contrast.value >= 4.5, "{place}");
        assert!(found.text_size.value >= 8.0, "{place}");
        let lightness = found.ground.iter().sum::<f64>() / 3.0;
        assert_eq!(lightness < 128.0, is_dark, "{place}");
        assert!(found.n_links > 3 && found.dead_links.is_empty(), "{place}");
        assert!(found.double_ids.is_empty(), "{place}");
    }
    Ok(())
}

/// Uses the gallery, and complains about everything that is not as expected.
const USE_GALLERY: &str = concat!("<script>", include_str!("browser/gallery.js"), "</script>");

#[test]
fn the_gallery_has_keys_filters_and_pairs() -> Result<()> {
    let Some(browser) = browser()? else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    report(dir.path())?;
    let name = "--run=<b>bold</b>=base";
    let runs = [
        name,
        "--run=middle=base",
        "--run=\"'><script>alert(2)</script>=retrained",
    ];
    let html = report_of(dir.path(), &runs)?;
    for (width, is_dark) in [(DESKTOP, true), (PHONE, false)] {
        let visit = visit(&browser, &format!("{html}{USE_GALLERY}"), width, is_dark)?;
        let place = format!("{width} pixels, dark {is_dark}: {visit:?}");
        assert!(visit.console.is_empty(), "{place}");
        assert!(visit.requests.is_empty(), "{place}");
        assert!(visit.findings.sticks_out.is_empty(), "{place}");
    }
    // a page on which a reader cannot do what the script does
    let broken = html.replace("j: () => focusSample(1)", "x: () => focusSample(1)");
    let visit = visit(&browser, &format!("{broken}{USE_GALLERY}"), DESKTOP, false)?;
    assert!(!visit.console.is_empty(), "{visit:?}");
    Ok(())
}

/// Presses keys in a page of three images, and complains if another image is shown than the one that is expected then.
const PRESS_KEYS: &str = "<script>addEventListener('load', () => {
  for (const [key, expected] of [['ArrowRight', 2], ['ArrowLeft', 1], ['ArrowLeft', 1], ['End', 3], ['ArrowRight', 3], ['Home', 1]]) {
    dispatchEvent(new KeyboardEvent('keydown', { key }));
    const shown = [...document.querySelectorAll('article')].filter(image => !image.hidden).map(image => image.id);
    if (shown.join() !== `image-${expected}`) console.warn(`${key} shows ${shown}`);
  }
});</script>";

#[test]
fn found_segments_read_well_in_a_browser() -> Result<()> {
    let Some(browser) = browser()? else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_labels(root)?;
    common::write_unlabeled(root, &common::retrained())?;
    let mut detect = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    let inputs = [
        "--segments",
        "segments",
        "--meta",
        "meta",
        "--logits",
        "logits",
    ];
    detect
        .arg("detect")
        .args(inputs)
        .args(["--output", "found"]);
    succeed(detect.current_dir(root))?;
    let html = fs::read_to_string(root.join("found/report.html"))?;
    let html = format!("{html}{PRESS_KEYS}");
    for (width, is_dark) in [(DESKTOP, false), (PHONE, true)] {
        let visit = visit(&browser, &html, width, is_dark)?;
        let found = &visit.findings;
        let place = format!("{width} pixels, dark {is_dark}: {visit:?}");
        assert!(visit.console.is_empty(), "{place}");
        assert!(visit.requests.is_empty(), "{place}");
        assert!(found.loaded.is_empty(), "{place}");
        assert!(found.scroll_width <= found.inner_width, "{place}");
        assert!(found.sticks_out.is_empty(), "{place}");
        assert!(found.contrast.value >= 4.5, "{place}");
        assert!(found.text_size.value >= 8.0, "{place}");
        assert!(found.n_links > 3 && found.dead_links.is_empty(), "{place}");
        assert!(found.double_ids.is_empty(), "{place}");
    }
    Ok(())
}

/// The probe finds everything that the other test asserts to be absent.
#[test]
fn a_bad_page_is_found_out() -> Result<()> {
    let Some(browser) = browser()? else {
        return Ok(());
    };
    let bad = "<!DOCTYPE html><meta charset=\"utf-8\"><body id=\"a\" style=\"background: #fff\">\
        <p id=\"a\" style=\"width: 900px; color: #eee; font-size: 5px\">pale</p><a href=\"#b\">nowhere</a>\
        <img src=\"http://nowhere.invalid/x.png\"><script>console.warn('a word of warning')</script>";
    let visit = visit(&browser, bad, PHONE, false)?;
    let found = &visit.findings;
    assert!(
        visit.console.iter().any(|l| l.contains("a word of")),
        "{visit:?}"
    );
    let address = "http://nowhere.invalid/x.png";
    assert!(visit.requests.iter().any(|r| r == address), "{visit:?}");
    assert!(found.loaded.iter().any(|r| r == address), "{visit:?}");
    assert!(found.scroll_width > found.inner_width, "{visit:?}");
    assert!(found.sticks_out.iter().any(|e| e == "P pale"), "{visit:?}");
    assert!(
        found.contrast.value < 1.2 && found.contrast.what == "P pale",
        "{visit:?}"
    );
    assert!(
        found.text_size.value == 5.0 && found.text_size.what == "P pale",
        "{visit:?}"
    );
    assert!(!found.viewer_opens && !found.viewer_closes, "{visit:?}");
    assert_eq!(
        (&found.dead_links[..], &found.double_ids[..]),
        (&["b".to_owned()][..], &["a".to_owned()][..])
    );
    Ok(())
}
