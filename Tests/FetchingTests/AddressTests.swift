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

    @Test func urlsKeepTheirQueries() throws {
        let address = try ModelAddress("https://u:p@h/x/my%20model.gguf?key=1#f") { _ in "secret" }
        #expect(address.fileName == "my model.gguf" && address.token == nil && !address.isOnHub)
        #expect(address.shown == "https://h/x/my%20model.gguf")
        #expect(address.sibling("b c").url == "https://u:p@h/x/b%20c?key=1#f")
    }

    @Test(arguments: [
        "", "m.gguf", "hf:", "hf:a/b", "hf:a/b/", "hf:a//c.gguf", "hf:a/../c.gguf",
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
