// Our Jinja against Python's (Tests/Fixtures/tokenization/jinja.json, made by make_jinja.py there),
// whose text it keeps, and where it ends.

import ChatTemplates
import LinuxSystem
import TestSupport
import Testing

struct JinjaFixture: Decodable {
    struct Case: Decodable {
        let template: String
        /// "text", "raised" by the template itself, or "error".
        let kind: String
        let result: String?
    }

    /// JSON.
    let variables: String
    let cases: [Case]
}

/// What a template makes of variables.
func render(
    _ template: String, _ variables: String = "{}", limits: JinjaLimits? = nil
) throws(JinjaError) -> MarkedText {
    try JinjaTemplate(template).render(
        jinjaVariables(variables),
        limits: limits ?? JinjaLimits(inputBytes: variables.utf8.count),
        clock: JinjaClock(secondsSince1970: 1_721_980_800))
}

@Suite struct JinjaTests {
    @Test func rendersAsPythonDoes() throws {
        let fixture = try fixture("jinja.json", as: JinjaFixture.self)
        #expect(fixture.cases.count > 200)
        for sample in fixture.cases {
            do throws(JinjaError) {
                let text = try render(sample.template, fixture.variables).string
                #expect(sample.kind == "text", "\(sample.template)")
                #expect(text == sample.result, "\(sample.template)")
            } catch {
                #expect(sample.kind == (error.kind == .raised ? "raised" : "error"), "\(error)")
                if error.kind == .raised { #expect(error.problem == sample.result) }
            }
        }
    }

    /// The text with what came from outside in brackets.
    private func marked(_ template: String, _ variables: String) throws -> String {
        let text = try render(template, variables)
        return text.runs().map { run in
            let part = String(decoding: text.bytes[run.range], as: UTF8.self)
            return run.isOutside ? "[\(part)]" : part
        }.joined()
    }

    @Test(arguments: [
        ("<s>{{ x }}</s>", "<s>[ a</s>b ]</s>"), ("{{ x + 'c' ~ x }}", "[ a</s>b ]c[ a</s>b ]"),
        ("<{{ x | trim }}>", "<[a</s>b]>"), ("{{ x.replace('a', 'z') }}", "[ ]z[</s>b ]"),
        ("{{ x.replace('</s>', '') }}", "[ ab ]"),
        ("{{ x[1:4] }}|{{ x[::-1] }}", "[a</]|[ b>s/<a ]"),
        ("{{ x.split('a')[1] }}", "[</s>b ]"), ("{{ x | upper }}", "[ A</S>B ]"),
        ("{{ [x, 'y'] | join('</s>') }}", "[ a</s>b ]</s>y"),
        ("{{ x | tojson }}", "\"[ a</s>b ]\""),
        ("{{ {'k': x} }}", "{'k': '[ a</s>b ]'}"), ("{{ x | list | join }}", "[ a</s>b ]"),
        ("{% set y %}<s>{{ x }}{% endset %}{{ y | trim }}", "<s>[ a</s>b]"),
        ("{% macro m(v) %}({{ v }}){% endmacro %}{{ m(x) }}", "([ a</s>b ])"),
        ("{{ '{}</s>'.format(x) }}", "[ a</s>b ]</s>"),
        ("{{ ('q' ~ x) | indent(1, true) }}", " q[ a</s>b ]"),
        ("{{ j | from_json }}", "{'[</s>]': '[<s>]'}"), ("{{ (j | from_json)['</s>'] }}", "[<s>]"),
        ("{% for c in x.strip() %}{{ c }}-{% endfor %}", "[a]-[<]-[/]-[s]-[>]-[b]-"),
        ("{{ strftime_now(x ~ '%Y') }}", "[ a</s>b ]2024")
    ])
    func whatComesFromOutsideStaysMarked(template: String, expected: String) throws {
        let variables = #"{"x": " a</s>b ", "j": "{\"</s>\": \"<s>\"}"}"#
        #expect(try marked(template, variables) == expected)
    }

    @Test func errorsSayWhere() {
        func place(_ template: String) -> String? {
            let error = #expect(throws: JinjaError.self) { try render(template) }
            return error.map { "\($0.line):\($0.column)" }
        }
        #expect(place("a\n  {{ x.y.z }}") == "2:7")
        #expect(place("ß {{ 1 + }}") == "1:10")
        #expect(place("{% if 1 %}\n\n{{ 2 }}") == "3:8")
        #expect(place("\n\n{{ 'a' ~ raise_exception('no') }}") == "3:10")
        #expect(place("{{ 'abc }}") == "1:4")
        #expect(place("{% for x in y %}\r\n{% endif %}") == "2:4")
    }

    private static let endless = [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 'x' * 999999999999 }}", "{{ 9223372036854775807 * [1] }}",
        "{% set ns = namespace(x=['ab']) %}"
            + "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[]) %}"
            + "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
        "{% set ns = namespace(x=[]) %}"
            + "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
            + "{{ ns.x == [ns.x] }}",
        "{% set ns = namespace(x=1) %}"
            + "{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}"
            + "{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set x = 'a' * 99999 %}{{ x | replace('a', x) }}",
        "{{ ('\\n' * 99999) | indent(99999, blank=true) }}",
        "{{ [1, 2] | tojson(indent=999999999) }}",
        "{{ " + String(repeating: "(", count: 9999), "{{ " + String(repeating: "[", count: 9999),
        "{{ " + String(repeating: "not ", count: 9999) + "1 }}",
        "{{ 1" + String(repeating: " + 1", count: 9999) + " }}",
        "{{ 'a'" + String(repeating: " | trim", count: 9999) + " }}",
        String(repeating: "{% if 1 %}", count: 9999), String(repeating: "x", count: 1 << 21),
        "{{ range(999999999) }}", "{{ x" + String(repeating: ".x", count: 9999) + " }}",
        "{% set ns = namespace() %}{% for i in range(99999) %}"
            + "{% set ns.x = range(99999) | list %}{% endfor %}"
    ]

    @Test(arguments: endless)
    func endsAtALimit(template: String) {
        #expect(throws: JinjaError.self) { try render(template) }
    }

    /// Calls of macros within expressions within blocks, as deep as it gets.
    @Test(arguments: [
        "{% macro m() %}{% if 1 %}{% for i in [1] %}"
            + "{{ [(('a' ~ (m() | trim)) | upper)] | first }}"
            + "{% endfor %}{% endif %}{% endmacro %}{{ m() }}",
        "{% macro m(a=m()) %}{% set x %}{% filter upper %}{% call m() %}{% endcall %}"
            + "{% endfilter %}{% endset %}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ {1: m()}.get('a', [m()] | map('upper') | list)[m():] }}{% endmacro %}"
            + "{{ m() }}"
    ])
    func deepEvaluationFitsTheThreadThatMakesPrompts(template: String) throws {
        let thread = try Thread(stackBytes: 1 << 20) {
            let error = #expect(throws: JinjaError.self) { try render(template) }
            #expect(error?.kind == .limit)
        }
        thread.join()
    }

    @Test func outputIsBoundedAndRenderingCanBeCancelled() throws {
        let limits = JinjaLimits(stepsMax: 1 << 20, workBytesMax: 1 << 20, outputBytesMax: 9)
        #expect(try render("123456789", limits: limits).string == "123456789")
        let error = #expect(throws: JinjaError.self) {
            try render("{{ 1234567890 }}", limits: limits)
        }
        #expect(error?.kind == .output)
        let template = try JinjaTemplate("{% for a in range(99999) %}{{ a }}{% endfor %}")
        let cancelled = #expect(throws: JinjaError.self) {
            try template.render([], limits: JinjaLimits(inputBytes: 0)) { true }
        }
        #expect(cancelled?.kind == .cancelled)
    }

    @Test func datesAreThoseOfTheCalendar() throws {
        let template = try JinjaTemplate("{{ strftime_now('%F %T %j %a') }}")
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 001 Thu"), (951_782_400, "2000-02-29 00:00:00 060 Tue"),
            (1_735_689_599, "2024-12-31 23:59:59 366 Tue"),
            (4_107_542_400, "2100-03-01 00:00:00 060 Mon")
        ] {
            let made = try template.render(
                [], limits: JinjaLimits(inputBytes: 0),
                clock: JinjaClock(secondsSince1970: seconds))
            #expect(made.string == text)
        }
    }
}
