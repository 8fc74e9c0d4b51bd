// How bits of keys and values are written and read.

import ModelFormat
import Testing

struct KVFormatTests {
    @Test func everyFormatIsReadAsItIsWritten() {
        for keys in KVBits.allCases {
            for values in KVBits.allCases {
                let format = KVFormat(keys: keys, values: values)
                #expect(KVFormat(format.description) == format)
            }
        }
        #expect(KVFormat("4") == KVFormat(.four) && KVFormat(.half).description == "16")
        #expect(KVFormat("k8v4") == KVFormat(keys: .eight, values: .four))
        #expect(KVFormat("k4v4") == KVFormat(.four) && KVFormat("k4v4")?.description == "4")
    }

    @Test(arguments: ["", "3", "k", "k8", "v4", "k8v", "kv4", "k8v5", "8v4", "k8v4 ", "04", "K8V4"])
    func anythingElseIsRefused(text: String) { #expect(KVFormat(text) == nil) }

    @Test func stepsOfChannelsTakeWholePages() {
        let whole = KVBits.allCases.flatMap { keys in
            KVBits.allCases.map { KVFormat(keys: keys, values: $0) }
        }.filter(\.takesWholePages)
        #expect(whole.allSatisfy { $0.keys <= .four || $0.values == .two } && whole.count == 13)
    }
}
