// Programs that are not ours: socket activation. Official clients are in CommandTests.

import Glibc
import Service
import Testing

@Suite(.serialized) struct ClientTests {
    /// The folder of the built programs: this test's own.
    private static var products: String {
        CommandLine.arguments[0].split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
    }

    @Test(
        .enabled(
            if: Shell.run("command -v systemd-socket-activate curl > /dev/null") == 0,
            "needs systemd-socket-activate and curl"),
        .enabled(
            if: unsafe access(products + "/sluiced", X_OK) == 0, "needs the built daemon"))
    func isActivatedByItsSocket() throws {
        let directory = TemporaryDirectory()
        let (socket, log) = (directory.path + "/s", directory.path + "/log")
        let start =
            "systemd-socket-activate -l '\(socket)' '\(Self.products)/sluiced' --library"
            + " '\(directory.path)' > '\(log)' 2>&1 & echo $! > '\(directory.path)/pid'"
        #expect(Shell.run(start) == 0)
        let ask = "curl -sf --max-time 10 --unix-socket '\(socket)' http://localhost/health"
        #expect(eventually { Shell.run(ask + " > '\(directory.path)/health'") == 0 })
        #expect(Shell.run("grep -q '\"status\":\"ok\"' '\(directory.path)/health'") == 0)
        let stop =
            "pid=$(cat '\(directory.path)/pid'); kill $pid; for i in $(seq 1000); do"
            + " kill -0 $pid 2> /dev/null || exit 0; sleep 0.01; done; exit 1"
        #expect(Shell.run(stop) == 0)
        #expect(Shell.run("grep -q stopped '\(log)'") == 0)
        // The socket was not ours to remove.
        #expect(Shell.run("test -S '\(socket)'") == 0)
    }
}
