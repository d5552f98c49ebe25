//! Archives read back by another implementation.

use std::io::{Cursor, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use crate::limits::ZIP_CHUNK;
use crate::policy::Policy;
use crate::root::Root;

fn archive_of(folder: &Path, start: &str) -> (Vec<u8>, usize) {
    let root = Arc::new(Root::open(folder, Policy::default()).unwrap());
    let mut archive = Archive::new(root, PathBuf::from(start), "shared").unwrap();
    let (mut whole, mut largest) = (Vec::new(), 0);
    while let Some(chunk) = archive.next_chunk().unwrap() {
        largest = largest.max(chunk.len());
        whole.extend_from_slice(&chunk);
    }
    (whole, largest)
}

fn open(bytes: Vec<u8>) -> zip::ZipArchive<Cursor<Vec<u8>>> {
    zip::ZipArchive::new(Cursor::new(bytes)).unwrap()
}

fn content(archive: &mut zip::ZipArchive<Cursor<Vec<u8>>>, name: &str) -> Vec<u8> {
    let mut all = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut all).unwrap();
    all
}

/// Bytes that deflate cannot shrink.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(length)
    .collect()
}

#[test]
fn files_of_all_kinds_come_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("sub/empty")).unwrap();
    let large_text = b"The same line again and again.\n".repeat(40_000);
    let large_noise = noise(ZIP_CHUNK * 3 + 17);
    for (name, data) in [
        ("empty.txt", &b""[..]),
        ("small.txt", b"hello"),
        ("text.log", &large_text[..5000]),
        ("sub/large.txt", &large_text),
        ("sub/large.bin", &large_noise),
        ("photo.jpg", &large_noise[..1000]),
        ("exact.bin", &large_noise[..ZIP_CHUNK]),
        ("größe 😀.txt", b"name"),
    ] {
        std::fs::write(at(name), data).unwrap();
    }
    std::fs::set_permissions(at("small.txt"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    let (bytes, largest) = archive_of(folder.path(), "");
    assert!(largest < ZIP_CHUNK * 3, "chunks are bounded: {largest}");
    let mut archive = open(bytes);
    assert_eq!(content(&mut archive, "shared/empty.txt"), b"");
    assert_eq!(content(&mut archive, "shared/small.txt"), b"hello");
    assert_eq!(content(&mut archive, "shared/text.log"), &large_text[..5000]);
    assert_eq!(content(&mut archive, "shared/sub/large.txt"), large_text);
    assert_eq!(content(&mut archive, "shared/sub/large.bin"), large_noise);
    assert_eq!(content(&mut archive, "shared/photo.jpg"), &large_noise[..1000]);
    assert_eq!(content(&mut archive, "shared/exact.bin"), &large_noise[..ZIP_CHUNK]);
    assert_eq!(content(&mut archive, "shared/größe 😀.txt"), b"name");
    assert!(archive.by_name("shared/sub/empty/").unwrap().is_dir());
    assert_eq!(archive.by_name("shared/small.txt").unwrap().unix_mode(), Some(0o100_755));
    let packed = archive.by_name("shared/sub/large.txt").unwrap().compressed_size();
    assert!(packed < large_text.len() as u64 / 20, "{packed}");
}

#[test]
fn only_what_is_shared_is_in_it_and_the_rest_is_named() {
    let outer = tempfile::tempdir().unwrap();
    let shared = outer.path().join("shared");
    std::fs::create_dir_all(shared.join(".git")).unwrap();
    std::fs::create_dir_all(shared.join("sub")).unwrap();
    std::fs::write(outer.path().join("secret"), "secret").unwrap();
    std::fs::write(shared.join(".git/config"), "x").unwrap();
    std::fs::write(shared.join("id_rsa"), "x").unwrap();
    std::fs::write(shared.join("a.txt"), "a").unwrap();
    std::fs::write(shared.join("back\\slash\n.txt"), "b").unwrap();
    symlink("../secret", shared.join("out")).unwrap();
    symlink("a.txt", shared.join("in")).unwrap();
    symlink("..", shared.join("sub/loop")).unwrap();
    let (bytes, _) = archive_of(&shared, "");
    let mut archive = open(bytes);
    let mut names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["shared/_skipped.txt", "shared/a.txt", "shared/back_slash_.txt", "shared/in", "shared/sub/"]);
    let skipped = String::from_utf8(content(&mut archive, "shared/_skipped.txt")).unwrap();
    assert!(skipped.contains("shared/out: a link to something that is not shared"), "{skipped}");
    assert!(skipped.contains("shared/sub/loop: a link"), "{skipped}");
    assert_eq!(content(&mut archive, "shared/in"), b"a");
}

#[test]
fn many_files_use_zip64() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("many")).unwrap();
    for n in 0..65_600 {
        std::fs::File::create(folder.path().join(format!("many/{n}"))).unwrap();
    }
    let (bytes, _) = archive_of(folder.path(), "many");
    assert_eq!(open(bytes).len(), 65_600);
}

#[test]
fn a_part_of_the_share_is_named_after_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    std::fs::write(folder.path().join("a/b/c.txt"), "c").unwrap();
    let root = Arc::new(Root::open(folder.path(), Policy::default()).unwrap());
    let mut archive = Archive::new(root, PathBuf::from("a/b"), "b").unwrap();
    let mut whole = Vec::new();
    while let Some(chunk) = archive.next_chunk().unwrap() {
        whole.extend_from_slice(&chunk);
    }
    assert_eq!(open(whole).file_names().map(|name| name.unwrap().into_owned()).collect::<Vec<_>>(), ["b/c.txt"]);
}
