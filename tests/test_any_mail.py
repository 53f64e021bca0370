"""Whatever a mail holds, it is one row or is refused by name."""

from pathlib import Path

from read_files import break_in_every_way, read_or_refused, scratch_folder

from orchestration_project.stores.formats import ERROR

LETTER = (
    b"Message-ID: <m-1@example.org>\nFrom: =?utf-8?q?Ann_L=C3=A9e?= <ann@example.org>\nTo: a@b.example, Zo <c@d.example>\n"
    b"Date: Tue, 03 Mar 2026 10:00:00 +0100\nSubject: =?iso-8859-1?q?Gr=FC=DFe?= and more\nMIME-Version: 1.0\n"
    b'Content-Type: multipart/mixed; boundary="b1"\n\n--b1\nContent-Type: multipart/alternative; boundary=b2\n\n'
    b"--b2\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n"
    b"--b2\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPHA+R3LDvMOfZTwvcD4=\n--b2--\n"
    b"--b1\nContent-Type: application/pdf; name*=utf-8''b%C3%A4r.pdf\nContent-Disposition: attachment; filename=\"b.pdf\"\n"
    b"\n%PDF\n--b1--\n"
)


def test_whole_mail_is_read(tmp_path: Path) -> None:
    assert [row[ERROR] for row in read_or_refused(tmp_path, "f.eml", LETTER) or []] == [None]


def test_any_content_of_a_mail_is_one_row_or_a_refusal() -> None:
    with scratch_folder() as folder:

        def check(content: bytes) -> None:
            rows = read_or_refused(folder, "f.eml", content)
            assert rows is None or len(rows) == (1 if content else 0)

        break_in_every_way("f.eml", LETTER, check)
