//! The report: what hostile names do in it, and whether a browser is content with it.

use serde_json::json;

use super::*;

/// What a device would call itself to run in whoever's browser opens the report.
const SCRIPT: &str = "<script>document.title='taken'</script>";

/// Observations in which every text that a sender can choose is hostile.
fn hostile() -> String {
    let at = "2026-03-02T08:00:00Z";
    let end = |last: u8, port| json!({"mac": format!("02:00:00:00:00:{last:02x}"), "ip": format!("10.0.0.{last}"), "port": port});
    let mut lines = vec![
        json!({"at": at, "observation": "binding", "mac": "02:00:00:00:00:01", "ip": "10.0.0.1", "source": "arp"}),
        json!({"at": at, "observation": "binding", "mac": "02:00:00:00:00:02", "ip": "10.0.0.2", "source": "arp"}),
    ];
    for (attribute, value) in [
        ("hostname", SCRIPT.to_owned()),
        ("vendor", "\"><img src=x onerror=alert(1)>".into()),
        ("model", "'--><svg/onload=alert(2)>".into()),
        ("firmware", "\u{202e}gnp.exe\u{7}".into()),
        ("label", "x".repeat(400)),
    ] {
        let about = json!({"mac": "02:00:00:00:00:01", "ip": "10.0.0.1"});
        lines.push(json!({
            "at": at, "observation": "fact", "about": about, "attribute": attribute, "value": value,
            "source": "nbns.<b>name", "confidence": 90
        }));
    }
    let volume = json!({"packets": 4, "bytes": 400, "payload": 100});
    lines.push(json!({
        "at": at, "observation": "flow-ended", "id": "00000000000000a1", "transport": "tcp",
        "client": end(1, 40_000), "server": end(2, 80), "client_reach": "near", "server_reach": "near",
        "first": at, "last": at, "sent": volume, "received": volume, "protocol": "<i>http", "end": "finished"
    }));
    lines.push(json!({
        "at": at, "observation": "anomaly", "kind": "http.<u>", "host": {"ip": "10.0.0.1"}, "detail": SCRIPT
    }));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A report of hostile names, of a file with one.
fn hostile_report(place: &Place) -> String {
    let seen = place.file("<script>alert(3)<:script>.jsonl", hostile());
    let list = place.file("list.txt", format!("10.0.0.2,{SCRIPT}\n"));
    let report = place.path("report.html");
    let watch = ["watch", seen.to_str().unwrap(), "--intel", list.to_str().unwrap(), "--report"];
    place.run(&[&watch[..], &[report.to_str().unwrap()]].concat()).good();
    fs::read_to_string(report).unwrap()
}

#[test]
fn names_that_devices_give_themselves_are_text_in_the_report_and_nothing_else() {
    let page = hostile_report(&Place::new());
    for told in ["&lt;script&gt;document.title", "&gt;&lt;img src=x", "&lt;svg/onload", "&lt;i&gt;http"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(page.contains("What is wrong") && page.contains("id=\"f"), "something was found: {page}");
    for raw in ["<script", "<img", "<svg/", "<i>http", "<u>", "<b>name", "\u{202e}", "\u{7}"] {
        assert!(!page.contains(raw), "{raw}: {page}");
    }
    // What opens is closed, so nothing has broken out of its place.
    for tag in ["section", "details", "summary", "dl", "table", "div", "ul", "ol", "p", "a"] {
        let (opened, closed) = (format!("<{tag}"), format!("</{tag}>"));
        let begins = |rest: &str| rest.starts_with(['>', ' ']);
        let opened = page.split(opened.as_str()).skip(1).filter(|rest| begins(rest)).count();
        assert_eq!(opened, page.matches(closed.as_str()).count(), "{tag}");
    }
}

#[test]
fn what_was_found_is_explained_the_worst_first_and_links_lead_somewhere() {
    let place = Place::new();
    let capture = findings::attack(&place, "mirai");
    let report = place.path("report.html");
    place.run(&["watch", capture.to_str().unwrap(), "--report", report.to_str().unwrap()]).good();
    let page = fs::read_to_string(report).unwrap();
    for part in [
        "Why it matters.",
        "What to do.",
        "What to do first.",
        "How it went.",
        "T1046",
        "SHA-256",
        "Threshold",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let list = page.split("<h3>Findings</h3>").nth(1).unwrap();
    let places = ["critical", "high", "medium", "low"].map(|severity| {
        (list.find(&format!("<b class=\"{severity}\"")), list.rfind(&format!("<b class=\"{severity}\"")))
    });
    for pair in places.windows(2) {
        assert!(pair[0].1.unwrap() < pair[1].0.unwrap(), "{places:?}");
    }
    for link in page.split("href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}

#[test]
fn nothing_found_is_said() {
    let place = Place::new();
    let (empty, report) = (place.file("empty.jsonl", ""), place.path("report.html"));
    place.run(&["watch", empty.to_str().unwrap(), "--report", report.to_str().unwrap()]).good();
    let page = fs::read_to_string(report).unwrap();
    assert!(page.contains("Nothing was found") && page.contains("No device was seen."), "{page}");
}

#[test]
fn a_browser_loads_the_report_without_a_complaint_and_runs_nothing() {
    let test = "a_browser_loads_the_report";
    let Some(browser) = testkit::peer(test, "chromium") else { return };
    let place = Place::new();
    hostile_report(&place);
    let load = |page: &Path| {
        let output = Command::new(&browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--enable-logging=stderr", "--dump-dom"])
            .arg(format!("--user-data-dir={}", place.path("profile").display()))
            .arg(format!("file://{}", page.display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8_lossy(&output.stdout).into_owned(), said.matches("CONSOLE").count())
    };
    // A page that complains shows that complaints are heard.
    let bad = place.file("bad.html", "<script>console.error('x')</script>");
    assert_eq!(load(&bad).1, 1);
    let (page, complaints) = load(&place.path("report.html"));
    assert!(page.contains("What is on this network"), "{page}");
    assert!(!page.contains("<title>taken"), "{page}");
    assert_eq!(complaints, 0);
}
