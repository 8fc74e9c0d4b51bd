// Which addresses are understood, and what they become.

import Fetching
import LinuxSystem
import Packing
import Testing

@Suite struct AddressTests {
    @Test func hubsAddressesBecomeURLs() throws {
        let environment = ["HF_ENDPOINT": "http://127.0.0.1:80/", "HF_TOKEN": "secret"]
        let address = try ModelAddress("hf:a/b/c d.gguf".replacing(" ", with: "+")) {
            environment[$0]
        }
        #expect(address.url == "http://127.0.0.1:80/a/b/resolve/main/c%2Bd.gguf")
        #expect(address.fileName == "c+d.gguf" && address.token == "secret" && address.isOnHub)
        let folder = try ModelAddress("hf:a/b/Q4/m-00001-of-00002.gguf") { _ in nil }
        #expect(
            folder.url == "https://huggingface.co/a/b/resolve/main/Q4/m-00001-of-00002.gguf")
        #expect(folder.token == nil)
        let second = folder.sibling("m-00002-of-00002.gguf")
        #expect(
            second.url == "https://huggingface.co/a/b/resolve/main/Q4/m-00002-of-00002.gguf")
        #expect(second.fileName == "m-00002-of-00002.gguf" && second.isOnHub)
    }

    @Test(arguments: [
        ("v1.0", "v1.0"), ("0123abcd", "0123abcd"), ("refs%2Fpr%2F1", "refs%2Fpr%2F1"),
        ("a@b", "a%40b"), ("x y".replacing(" ", with: "+"), "x%2By")
    ])
    func revisionsAreWhereTheHubHasThem(revision: String, path: String) throws {
        let address = try ModelAddress("hf:a/b@\(revision)/Q4/m.gguf") { _ in nil }
        #expect(address.url == "https://huggingface.co/a/b/resolve/\(path)/Q4/m.gguf")
        #expect(address.fileName == "m.gguf" && address.isOnHub)
        #expect(address.sibling("n.gguf").url.hasSuffix("/resolve/\(path)/Q4/n.gguf"))
    }

    @Test(arguments: [
        ("0", 0), ("120", 120), ("99999999999999999999", Int.max), ("", nil), ("-1", nil),
        ("soon", nil), ("1.5", nil), ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777 - 784_111_700),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Sun, 06 Nov 1994 08:49:37", nil),
        ("Tue, 29 Feb 2028 12:00:00 GMT", 1_835_438_400 - 784_111_700),
        ("Sun, 06 Abc 1994 08:49:37 GMT", nil), ("Sun, 06 Nov 1994 25:49:37 GMT", nil),
        ("Sunday, 06-Nov-94 08:49:37 GMT", nil)
    ])
    func timesToAskAgain(text: String, seconds: Int?) {
        #expect(RetryTime.seconds(text, now: 784_111_700) == seconds)
    }

    @Test func urlsKeepTheirQueries() throws {
        let address = try ModelAddress("https://u:p@h/x/my%20model.gguf?key=1#f") { _ in "secret" }
        #expect(address.fileName == "my model.gguf" && address.token == nil && !address.isOnHub)
        #expect(address.shown == "https://h/x/my%20model.gguf")
        #expect(address.sibling("b c").url == "https://u:p@h/x/b%20c?key=1#f")
    }

    @Test(arguments: [
        "", "m.gguf", "hf:", "hf:a/b", "hf:a/b/", "hf:a//c.gguf", "hf:a/../c.gguf",
        "hf:a/b@/c.gguf", "hf:a/@main/c.gguf", "hf:a/b@../c.gguf",
        "ftp://h/m.gguf",
        "file:///m.gguf", "https://h", "https://h/", "https://h/a/", "https://h/?m.gguf",
        "https://h/a b", "https://h/a\nurl = \"x\"", "hf:a/b/c\u{0}.gguf"
    ])
    func othersAreRefused(text: String) {
        let error = #expect(throws: PackingError.self) {
            try ModelAddress(text) { _ in nil }
        }
        guard case .transfer(let address, _, .usage) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(address == text)
    }
}
