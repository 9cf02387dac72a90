//! Files that are not weights are named as what they are.

use super::*;

#[test]
fn placeholders_are_named_as_what_they_are() {
    let mut tar = b"cat.png".to_vec();
    tar.resize(512, 0);
    tar[257..262].copy_from_slice(b"ustar");
    let mut old = b"sys_info".to_vec();
    old.resize(512, 0);
    old[257..262].copy_from_slice(b"ustar");
    let cases: &[(&[u8], &str)] = &[
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "git-lfs pointer",
        ),
        (
            b"<!DOCTYPE html><html><title>Virus scan warning",
            "HTML page",
        ),
        (b"\n  <html><body>Sign in", "HTML page"),
        (b"\xef\xbb\xbf<HTML>", "HTML page"),
        (
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied",
            "XML text",
        ),
        (b"{\"error\": \"Not Found\"}", "JSON text"),
        (b"404: Not Found", "begins with \"404: Not Found\""),
        (b"", "is empty"),
        (&[0; 4096], "begins with zeros"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "gzip"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\0\0\x04", "xz"),
        (b"\x28\xb5\x2f\xfd\x04\0\0\0", "zstd"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
        (&tar, "tar archive that begins with \"cat.png\""),
        (&old, "PyTorch before 0.1.10"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0", "Keras"),
        (b"\x93NUMPY\x01\0v\0{'descr'", "array of NumPy"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG image"),
        // pickle.dump({"a": 1}) with protocols 2 and 4
        (
            b"\x80\x02}q\0X\x01\0\0\0aq\x01K\x01s.",
            "not one of torch.save",
        ),
        (
            b"\x80\x04\x95\x0a\0\0\0\0\0\0\0}\x94\x8c\x01a\x94K\x01s.",
            "not one of torch.save",
        ),
    ];
    for (bytes, words) in cases {
        check_fails(bytes, words);
    }
}

#[test]
fn archives_of_other_things_are_named() -> Result<()> {
    let entry = |name: &str| (name.to_owned(), b"x".to_vec());
    check_fails(
        &archive(&[entry("enet.pth")])?,
        "\"name/enet.pth\": unpack it",
    );
    check_fails(&archive(&[entry("a.npy")])?, "NumPy");
    check_fails(
        &archive(&[entry("cat.png")])?,
        "first file is \"name/cat.png\"",
    );
    let empty = ZipWriter::new(Cursor::new(Vec::new())).finish()?;
    check_fails(&empty.into_inner(), "empty zip archive");
    Ok(())
}

#[test]
fn folders_and_indices_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let error = |path: &std::path::Path| match WeightsFile::open(path, None) {
        Ok(_) => "no error".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    let text = error(dir.path());
    assert!(text.contains("are a folder: it holds no weights"), "{text}");
    fs::write(dir.path().join("model.safetensors"), "")?;
    let text = error(dir.path());
    assert!(text.contains("(model.safetensors)"), "{text}");
    // an index without its files, whatever its own name is
    let index = dir.path().join("w.pth");
    fs::write(
        &index,
        r#"{"weight_map":{"a":"model-00001-of-00002.safetensors"}}"#,
    )?;
    let text = error(&index);
    for words in [
        "index of several files",
        "model-00001-of-00002",
        "put all of them",
    ] {
        assert!(text.contains(words), "{text}");
    }
    fs::write(&index, r#"{"weight_map":[1]}"#)?;
    assert!(error(&index).contains("w.pth"), "{}", error(&index));
    fs::write(dir.path().join("data.pkl"), "")?;
    let text = error(dir.path());
    assert!(text.contains("an unpacked file of PyTorch"), "{text}");
    Ok(())
}
