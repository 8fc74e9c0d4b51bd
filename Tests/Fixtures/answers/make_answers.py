"""Writes answers.json: answers in each style of writing thoughts and calls, and what they are.

The answers are written by hand from what the models' chat templates and documents say of their
formats; none was recorded from a model. `{{...}}` stands for one special token. `open` says that
the prompt ended within the model's thoughts. Run it in this folder, with no arguments.
"""

import json

import later_styles
from samples import PARIS, TOOLS, case

HERMES = {
    "style": "JSON in <tool_call>",
    "template": "<tool_call>{\"name\": , \"arguments\": }</tool_call> <think></think>",
    "cases": [
        case("one call",
             '<tool_call>\n{"name": "get_weather", "arguments": ' + PARIS + '}\n</tool_call>',
             calls=[("get_weather", PARIS)]),
        case("thoughts, text, two calls",
             "<think>\nHm.\n\nYes.\n</think>\n\nI look it up.\n"
             '{{<tool_call>}}\n{"name": "get_weather", "arguments": ' + PARIS
             + '}\n{{</tool_call>}}\n'
             '{{<tool_call>}}\n{"name": "time", "arguments": {}}\n{{</tool_call>}}',
             "I look it up.", "Hm.\n\nYes.", [("get_weather", PARIS), ("time", "{}")]),
        case("only text, with spaces", " Well,\n\nno. \n", " Well,\n\nno. \n"),
        case("what only looks like one", "a < b <tool <tool_call ><tool_cal",
             "a < b <tool <tool_call ><tool_cal"),
        case("no JSON", "<tool_call>\nhello\n</tool_call> there",
             "<tool_call>\nhello\n</tool_call> there"),
        case("special tokens are never text", "{{<tool_call>}}\nhello\n{{</tool_call>}} there",
             "\nhello\n there"),
        case("JSON that is no call", '<tool_call>{"a": 1}</tool_call>',
             '<tool_call>{"a": 1}</tool_call>'),
        case("half a name", 'Yes. <tool_call>\n{"name": "get_wea', "Yes. "),
        case("half of the arguments",
             '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Par',
             calls=[("get_weather", '{"city": "Par')]),
        case("arguments first, then the name",
             '<tool_call>{"arguments": ' + PARIS + ', "name": "get_weather"}</tool_call>',
             calls=[("get_weather", PARIS)]),
        case("arguments in a string",
             '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}'
             '</tool_call>',
             calls=[("get_weather", '{"city": "Paris"}')]),
        case("no arguments", '<tool_call>{"name": "time"}</tool_call>', calls=[("time", "{}")]),
        case("a list",
             '<tool_call>[{"name": "time", "arguments": {}}, {"name": "time"}]</tool_call>.',
             ".", calls=[("time", "{}"), ("time", "{}")]),
        case("markers and newlines within a string",
             '<tool_call>{"name": "get_weather", "arguments": {"city": "</tool_call>\n<é\\"}"}}'
             '</tool_call>',
             calls=[("get_weather", '{"city": "</tool_call>\\n<é\\"}"}')]),
        case("a brace too few",
             '<tool_call>{"name": "time", "arguments": {"a": 1}</tool_call>Then.', "Then.",
             calls=[("time", '{"a": 1}')]),
        case("text after a call",
             '<tool_call>{"name": "time", "arguments": {}}</tool_call>\n\nSo it is.\n',
             "So it is.\n", calls=[("time", "{}")]),
        case("thoughts that do not end", "<think>\nHm", "", "Hm"),
        case("thoughts from the prompt", "Hm.\n</think>\n\nYes.", "Yes.", "Hm.", open=True),
        case("no thoughts", "<think>\n\n</think>\n\nYes.", "Yes."),
        case("thoughts later are text", "Say <think> and </think>.", "Say <think> and </think>."),
    ],
}


def tags(block):
    begin, end = f"<{block}>", f"</{block}>"
    return {
        "style": f"tags in <{block}>",
        "template": f"{begin}<function=x><parameter=y></parameter></function>{end}<think>"
                    "<seed:think>",
        "cases": [
            case("one call",
                 f"Yes.\n{begin}\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
                 "<parameter=days>\n2\n</parameter>\n<parameter=metric>\nTrue\n</parameter>\n"
                 f"</function>\n{end}", "Yes.",
                 calls=[("get_weather", '{"city": "Paris", "days": 2, "metric": true}')]),
            case("a text of lines, with quotes and tags",
                 f"{begin}<function=get_weather><parameter=city>\n<a>\n\"b\"\n\n</parameter>"
                 f"<parameter=note>null</parameter></function>{end}",
                 calls=[("get_weather", '{"city": "<a>\\n\\"b\\"\\n", "note": null}')]),
            case("numbers that are texts, objects, what is no JSON",
                 f"{begin}\n<function=get_weather>\n<parameter=city>\n75001\n</parameter>\n"
                 '<parameter=more>\n{"a": [1, null]}\n</parameter>\n'
                 f"<parameter=days>\ntwo\n</parameter>\n</function>\n{end}",
                 calls=[("get_weather",
                         '{"city": "75001", "more": {"a": [1, null]}, "days": "two"}')]),
            case("two, without the outer tag",
                 "<function=time>\n</function>\n<function=time></function>",
                 calls=[("time", "{}"), ("time", "{}")]),
            case("an unknown name without the outer tag is text", "<function=main> is a tag.",
                 "<function=main> is a tag."),
            case("a call ends thoughts",
                 f"So.\n{begin}\n<function=time>\n</function>\n{end}", "", "So.",
                 [("time", "{}")], open=True),
            case("thoughts about calls", f"A {begin} is <function=x>.</think>B", "B",
                 f"A {begin} is <function=x>.", open=True) if block == "tool_call" else
            case("no call", f"{begin} is a tag.", f"{begin} is a tag."),
            case("JSON between these tags",
                 f'{begin}\n{{"name": "time", "arguments": {{"a": 1}}}}\n{end}',
                 calls=[("time", '{"a": 1}')]),
            case("half a value",
                 f"{begin}\n<function=get_weather>\n<parameter=city>\nPar",
                 calls=[("get_weather", '{"city": "Par')]),
            case("one parameter twice",
                 f"{begin}<function=get_weather><parameter=city>a</parameter><parameter=city>b"
                 f"</parameter></function>{end}", calls=[("get_weather", '{"city": "a"}')]),
            case("not a function", f"{begin}\nno\n{end}", f"{begin}\nno\n{end}"),
        ],
    }


INVOKE = {
    "style": "invoke",
    "template": '<minimax:tool_call><invoke name="x"><parameter name="y"></minimax:tool_call>'
                "<think>",
    "cases": [
        case("two calls in a block",
             '<minimax:tool_call>\n<invoke name="get_weather">\n'
             '<parameter name="city">Paris</parameter>\n'
             '<parameter name="days">2</parameter>\n</invoke>\n<invoke name="time">\n</invoke>\n'
             '</minimax:tool_call>', calls=[("get_weather", PARIS), ("time", "{}")]),
    ],
}
KEYS = {
    "style": "arg_key",
    "template": "<tool_call>{name}\n<arg_key>{k}</arg_key><arg_value></arg_value></tool_call>"
                "<think>",
    "cases": [
        case("with lines",
             "<think>Hm.</think>\n\nYes.\n{{<tool_call>}}get_weather\n"
             "{{<arg_key>}}city{{</arg_key>}}\n"
             "{{<arg_value>}}Paris{{</arg_value>}}\n{{<arg_key>}}days{{</arg_key>}}\n"
             "{{<arg_value>}}2{{</arg_value>}}\n{{</tool_call>}}", "Yes.", "Hm.",
             [("get_weather", PARIS)]),
        case("without",
             "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>"
             "<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>"
             "<tool_call>time</tool_call>", calls=[("get_weather", PARIS), ("time", "{}")]),
        case("a text with lines",
             "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>\na\n</arg_value>\n"
             "</tool_call>",
             calls=[("get_weather", '{"city": "\\na\\n"}')]),
        case("half a call", "<tool_call>get_weather", ""),
        case("no name", "<tool_call> is a tag", "<tool_call> is a tag"),
    ],
}
CHANNELS = {
    "style": "channels",
    "template": "<|start|><|channel|><|message|>",
    "cases": [
        case("thoughts and an answer",
             "{{<|channel|>}}analysis{{<|message|>}}Hm.{{<|end|>}}{{<|start|>}}assistant"
             "{{<|channel|>}}final{{<|message|>}}Yes.", "Yes.", "Hm."),
        case("a call",
             "{{<|channel|>}}analysis{{<|message|>}}Hm.{{<|end|>}}{{<|start|>}}assistant"
             "{{<|channel|>}}commentary to=functions.get_weather {{<|constrain|>}}json"
             "{{<|message|>}}" + PARIS, "", "Hm.", [("get_weather", PARIS)]),
        case("the recipient before the channel",
             " to=functions.time{{<|channel|>}}commentary {{<|constrain|>}}json{{<|message|>}}{}"
             "{{<|call|>}}", calls=[("time", "{}")]),
        case("no arguments",
             "{{<|channel|>}}commentary to=functions.time{{<|message|>}}{{<|call|>}}",
             calls=[("time", "{}")]),
        case("a word before, two calls",
             "{{<|channel|>}}commentary{{<|message|>}}I look.{{<|end|>}}{{<|start|>}}assistant"
             "{{<|channel|>}}commentary to=functions.time{{<|message|>}}{}{{<|call|>}}"
             "{{<|start|>}}assistant to=functions.time{{<|channel|>}}commentary{{<|message|>}}{}",
             "I look.", calls=[("time", "{}"), ("time", "{}")]),
        case("two messages",
             "{{<|channel|>}}final{{<|message|>}}A.{{<|end|>}}{{<|start|>}}assistant"
             "{{<|channel|>}}final{{<|message|>}}B.", "A.\n\nB."),
        case("no header", "Yes.", "Yes."),
        case("half a header", "{{<|channel|>}}fin", ""),
        case("half of the arguments",
             "{{<|channel|>}}commentary to=functions.time{{<|message|>}}{\"a",
             calls=[("time", '{"a')]),
    ],
}
QUOTE = '{{<|"|>}}'
BRACES = {
    "style": "braces",
    "template": "<|tool_call>call:x{}<tool_call|><|channel>thought\n<channel|>",
    "cases": [
        case("one call",
             "{{<|channel>}}thought\nHm.\n{{<channel|>}}Yes.{{<|tool_call>}}call:get_weather{city:"
             + QUOTE + "Paris" + QUOTE + ",days:2}{{<tool_call|>}}", "Yes.", "Hm.",
             [("get_weather", PARIS)]),
        case("values of all kinds",
             "{{<|tool_call>}}call:time{a:[1,-2.5,true,null],b:{c:" + QUOTE + '},"' + QUOTE
             + "},d:word,e:[],f:{}}{{<tool_call|>}}{{<|tool_call>}}call:time{}{{<tool_call|>}}",
             calls=[("time", '{"a": [1, -2.5, true, null], "b": {"c": "},\\""}, "d": "word", '
                     '"e": [], "f": {}}'), ("time", "{}")]),
        case("not one", "{{<|tool_call>}}hello{{<tool_call|>}}.", "hello."),
        case("half", "a{{<|tool_call>}}call:time{a:", "a"),
        case("the end of the answer in the marker's place", "{{<|tool_call>}}call:time{a:1}",
             calls=[("time", '{"a": 1}')]),
    ],
}
ESCAPES = {
    "style": "escapes",
    "template": "<start_function_call>call:x{}<end_function_call>",
    "cases": [
        case("one call",
             "{{<start_function_call>}}call:get_weather{city:{{<escape>}}Paris{{<escape>}},days:2}"
             "{{<end_function_call>}}", calls=[("get_weather", PARIS)]),
    ],
}


def deepseek(name):
    return "{{<\uff5ctool\u2581" + name + "\uff5c>}}"


DEEPSEEK = {
    "style": "separators",
    "template": "<\uff5ctool\u2581call\u2581begin\uff5c></think>",
    "cases": [
        case("two calls",
             "Yes." + deepseek("calls\u2581begin") + deepseek("call\u2581begin") + "get_weather"
             + deepseek("sep") + PARIS + deepseek("call\u2581end") + "\n"
             + deepseek("call\u2581begin") + "time" + deepseek("sep") + "{}"
             + deepseek("call\u2581end") + deepseek("calls\u2581end"), "Yes.",
             calls=[("get_weather", PARIS), ("time", "{}")]),
        case("the older form",
             deepseek("calls\u2581begin") + deepseek("call\u2581begin") + "function"
             + deepseek("sep") + "get_weather\n```json\n" + PARIS + "\n```"
             + deepseek("call\u2581end") + deepseek("calls\u2581end"),
             calls=[("get_weather", PARIS)]),
        case("thoughts from the prompt", "Hm.</think>Yes.", "Yes.", "Hm.", open=True),
        case("half a call", deepseek("call\u2581begin") + "get_wea", ""),
    ],
}
PYTHON = {
    "style": "Python",
    "template": "<|tool_call_start|>[x()]<|tool_call_end|> <think>",
    "cases": [
        case("one call and a word",
             "{{<|tool_call_start|>}}[get_weather(city='Paris', days=2)]{{<|tool_call_end|>}}"
             "I look.",
             "I look.", calls=[("get_weather", PARIS)]),
        case("values of all kinds",
             "{{<|tool_call_start|>}}[time(a=[1, -2.5, True, None], b={'c': \"d'\\n\", 1: ()}, "
             "e='\\u00e9\\\\'), time()]{{<|tool_call_end|>}}",
             calls=[("time", '{"a": [1, -2.5, true, null], "b": {"c": "d\'\\n", "1": []}, '
                     '"e": "é\\\\"}'), ("time", "{}")]),
        case("not one", "{{<|tool_call_start|>}}[1 + 1]{{<|tool_call_end|>}}", "[1 + 1]"),
    ],
}
MISTRAL = {
    "style": "TOOL_CALLS",
    "template": "[TOOL_CALLS][ARGS] [THINK][/THINK]",
    "cases": [
        case("a list of objects",
             '{{[TOOL_CALLS]}}[{"name": "get_weather", "arguments": ' + PARIS
             + ', "id": "abcdefghi"}, {"name": "time", "arguments": {}}]',
             calls=[("get_weather", PARIS), ("time", "{}")]),
        case("names and ids",
             "Yes.{{[TOOL_CALLS]}}get_weather{{[CALL_ID]}}abcdefghi{{[ARGS]}}" + PARIS
             + "{{[TOOL_CALLS]}}time{{[CALL_ID]}}bcdefghij{{[ARGS]}}{}", "Yes.",
             calls=[("get_weather", PARIS), ("time", "{}")], ids=["abcdefghi", "bcdefghij"]),
        case("names",
             "{{[THINK]}}Hm.{{[/THINK]}}Yes.{{[TOOL_CALLS]}}get_weather{{[ARGS]}}" + PARIS, "Yes.",
             "Hm.", [("get_weather", PARIS)]),
        case("without a separator", "{{[TOOL_CALLS]}}time{}", calls=[("time", "{}")]),
        case("brackets in text", "a[0] [TOOL] [1]", "a[0] [TOOL] [1]"),
    ],
}
BARE = {
    "style": "bare JSON",
    "template": "<|python_tag|>{\"name\": , \"parameters\": }",
    "cases": [
        case("a call", '{"name": "get_weather", "parameters": ' + PARIS + "}",
             calls=[("get_weather", PARIS)]),
        case("with its type, after a marker",
             '{{<|python_tag|>}}{"type": "function", "name": "time", "parameters": {}}',
             calls=[("time", "{}")]),
        case("two",
             '{"name": "time", "parameters": {}}; {"name": "time", "parameters": {"a": 1}}',
             calls=[("time", "{}"), ("time", '{"a": 1}')]),
        case("JSON that was asked for", '{"name": "Paul", "parameters": {}}',
             '{"name": "Paul", "parameters": {}}'),
        case("other JSON", '{"city": "Paris"}', '{"city": "Paris"}'),
        case("a brace", "{ is a brace", "{ is a brace"),
        case("a brace alone", " {", " {"),
        case("half a call", '{"name": "get_weather", "parameters": {"city"',
             calls=[("get_weather", '{"city"')]),
        case("later it is text", 'So: {"name": "time", "parameters": {}}',
             'So: {"name": "time", "parameters": {}}'),
    ],
}

LISTS = {
    "style": "lists in <tool_calls>",
    "template": '<tool_calls>[{"name": , "arguments": }]</tool_calls>',
    "cases": [
        case("two calls",
             'Yes.\n<tool_calls>[{"name": "get_weather", "arguments": ' + PARIS
             + ', "id": "1"}, {"name": "time", "arguments": {}}]</tool_calls>', "Yes.",
             calls=[("get_weather", PARIS), ("time", "{}")]),
    ],
}

STYLES = [HERMES, tags("tool_call"), tags("seed:tool_call"), INVOKE, KEYS, CHANNELS, BRACES,
          ESCAPES, DEEPSEEK, PYTHON, MISTRAL, BARE, LISTS, *later_styles.STYLES]

if __name__ == "__main__":
    def text(value):
        return json.dumps(value, ensure_ascii=False)

    with open("answers.json", "w") as file:
        styles = []
        for style in STYLES:
            cases = ",\n".join(text(case) for case in style["cases"])
            styles.append(f'{{"style": {text(style["style"])}, '
                          f'"template": {text(style["template"])}, "cases": [\n{cases}]}}')
        listed = ",\n".join(styles)
        file.write(f'{{"tools": {text(TOOLS)},\n"styles": [\n{listed}]}}\n')
