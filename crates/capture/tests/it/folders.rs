//! Folders of captures.

use std::fs;

use capture::{Batch, Options, Reason, Source, Step};

use crate::help::{drain, failure, gzip, numbers, pcap, pcapng};

/// A folder whose captures are in the order of time neither by name nor by depth.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("b/c");
    fs::create_dir_all(&deep).unwrap();
    fs::write(folder.path().join("a.pcap"), pcap(20..30)).unwrap();
    fs::write(deep.join("z.pcapng"), pcapng(0..10)).unwrap();
    fs::write(folder.path().join("b/packed"), gzip(&pcapng(10..20))).unwrap();
    fs::write(folder.path().join("README"), "captures\n").unwrap();
    fs::write(folder.path().join("empty.pcap"), "").unwrap();
    fs::write(folder.path().join("log.gz"), gzip(b"a line\n")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path(), deep.join("around")).unwrap();
    folder
}

fn open(folder: &tempfile::TempDir) -> Box<dyn Source> {
    capture::open(folder.path().to_str().unwrap(), &Options::default()).unwrap()
}

#[test]
fn all_captures_of_a_folder_are_read_in_the_order_of_their_first_packets() {
    let folder = folder();
    let mut source = open(&folder);
    assert_eq!(numbers(&drain(&mut *source)), (0..30).collect::<Vec<_>>());
    let progress = source.progress();
    // The text, the empty file, the compressed text and the link to a folder.
    assert_eq!((progress.files, progress.other_files), (3, 4));
    assert_eq!(Some(progress.bytes), progress.total);
    assert_eq!(source.damage(), None);
}

#[test]
fn a_folder_is_resumed_across_its_files() {
    let folder = folder();
    for resume in [0, 5, 10, 15, 25, 30] {
        let mut source = open(&folder);
        assert_eq!(source.skip_to(resume).unwrap(), resume);
        let mut batch = Batch::new();
        let mut rest = Vec::new();
        while source.next_batch(&mut batch).unwrap() == Step::Batch {
            assert_eq!(batch.first, resume + rest.len() as u64);
            rest.extend(batch.iter().map(|(_, bytes)| u64::from_be_bytes(*bytes.first_chunk().unwrap())));
        }
        assert_eq!(rest, (resume..30).collect::<Vec<_>>());
    }
}

#[test]
fn damage_in_one_file_does_not_keep_the_others_from_being_read() {
    let folder = folder();
    let cut = folder.path().join("b/c/z.pcapng");
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    fs::write(folder.path().join("future.pcapng"), b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x09\0\0\0")
        .unwrap();
    let mut source = open(&folder);
    assert_eq!(numbers(&drain(&mut *source)), (0..9).chain(10..30).collect::<Vec<_>>());
    let damages = source.damages();
    assert_eq!(damages.len(), 2);
    assert!(matches!(&damages[0].reason, Reason::Unreadable(why) if why.contains("version 9.0")));
    assert_eq!((&damages[1].reason, damages[1].packet), (&Reason::Cut, 10));
    assert_eq!(&*damages[1].file, cut.to_str().unwrap());
}

#[test]
fn a_folder_without_captures_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("README"), "captures\n").unwrap();
    let name = folder.path().to_str().unwrap();
    assert_eq!(
        failure(name).replace(name, "X"),
        "X holds no packet captures, only 1 other files; give a folder with pcap or pcapng files"
    );
}
