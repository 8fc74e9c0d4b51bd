"""Answers in styles of newer models: ids, actions, markup, elements, recipients, code."""

from samples import PARIS, case

KIMI = {
    "style": "ids",
    "template": "<|tool_call_begin|>functions.x:0<|tool_call_argument_begin|><think></think>",
    "cases": [
        case("two calls",
             "<think>Hm.</think>Yes.{{<|tool_calls_section_begin|>}}{{<|tool_call_begin|>}}"
             "functions.get_weather:0{{<|tool_call_argument_begin|>}}" + PARIS
             + "{{<|tool_call_end|>}}{{<|tool_call_begin|>}}functions.time:1"
             "{{<|tool_call_argument_begin|>}}{}{{<|tool_call_end|>}}"
             "{{<|tool_calls_section_end|>}}", "Yes.", "Hm.",
             [("get_weather", PARIS), ("time", "{}")],
             ids=["functions.get_weather:0", "functions.time:1"]),
        case("within thoughts, without ends",
             "Hm.{{<|tool_call_begin|>}}functions.time:0{{<|tool_call_argument_begin|>}}{\"a\": 1}"
             "{{<|tool_call_begin|>}}functions.time:1{{<|tool_call_argument_begin|>}}{}", "", "Hm.",
             [("time", '{"a": 1}'), ("time", "{}")], open=True),
        case("a name alone",
             "{{<|tool_call_begin|>}}time{{<|tool_call_argument_begin|>}}{}{{<|tool_call_end|>}}",
             calls=[("time", "{}")]),
        case("half a name", "a{{<|tool_call_begin|>}}functions.ti", "a"),
        case("half of the arguments",
             "{{<|tool_call_begin|>}}functions.time:0{{<|tool_call_argument_begin|>}}{\"a",
             calls=[("time", '{"a')]),
    ],
}
COMMAND = {
    "style": "actions",
    "template": '<|START_THINKING|><|START_ACTION|>[{"tool_name": , "parameters": }]<|END_ACTION|>'
                "<|START_RESPONSE|><|END_RESPONSE|><|START_TEXT|><|END_TEXT|>",
    "cases": [
        case("thoughts and two calls",
             "{{<|START_THINKING|>}}Hm.{{<|END_THINKING|>}}{{<|START_ACTION|>}}[\n"
             '    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": ' + PARIS + "},\n"
             '    {"tool_call_id": "1", "tool_name": "time", "parameters": {}}\n'
             "]{{<|END_ACTION|>}}", "", "Hm.", [("get_weather", PARIS), ("time", "{}")]),
        case("an answer",
             "{{<|START_RESPONSE|>}}Yes,\nno.{{<|END_RESPONSE|>}}", "Yes,\nno."),
        case("thoughts from the prompt",
             "Hm.{{<|END_THINKING|>}}{{<|START_TEXT|>}}Yes.{{<|END_TEXT|>}}", "Yes.", "Hm.",
             open=True),
        case("half a call",
             '{{<|START_ACTION|>}}[\n    {"tool_call_id": "0", "tool_name": "ti', ""),
    ],
}


def markup(block, name):
    sign = "{{\uff5cDSML\uff5c}}"

    def tag(text):
        return ("</" if text[0] == "/" else "<") + sign + text.lstrip("/") + ">"

    def parameter(key, kind, value):
        return (tag(f'parameter name="{key}" string="{kind}"') + value + tag("/parameter") + "\n")

    return {
        "style": name,
        "template": "\uff5cDSML\uff5c invoke name= " + block + "> <think></think>",
        "cases": [
            case("two calls",
                 "Yes.\n\n" + tag(block) + "\n" + tag('invoke name="get_weather"') + "\n"
                 + parameter("city", "true", "Paris") + parameter("days", "false", "2")
                 + tag("/invoke") + "\n" + tag('invoke name="time"') + "\n" + tag("/invoke") + "\n"
                 + tag("/" + block), "Yes.", calls=[("get_weather", PARIS), ("time", "{}")]),
            case("what the tag says of values, line breaks, no word of it",
                 tag(block) + tag('invoke name="time"') + parameter("a", "true", "\n1\n")
                 + parameter("b", "false", '{"c": [null]}')
                 + tag('parameter name="d"') + "x<y" + tag("/parameter") + tag("/invoke")
                 + tag("/" + block),
                 calls=[("time", '{"a": "\\n1\\n", "b": {"c": [null]}, "d": "x<y"}')]),
            case("a call ends thoughts",
                 "Hm.\n" + tag(block) + "\n" + tag('invoke name="time"') + "\n" + tag("/invoke")
                 + "\n" + tag("/" + block), "", "Hm.", [("time", "{}")], open=True),
            case("half a value",
                 tag(block) + "\n" + tag('invoke name="get_weather"') + "\n"
                 + tag('parameter name="city" string="true"') + "Par",
                 calls=[("get_weather", '{"city": "Par')]),
            case("half a name", "a" + tag(block) + "\n<" + sign + 'invoke name="ti', "a"),
        ],
    }


SEPARATOR = "{{]<]minimax[>[}}"


def elements(text):
    return text.replace("<", SEPARATOR + "<")


ELEMENTS = {
    "style": "elements",
    "template": "]<]minimax[>[<tool_call> <mm:think></mm:think>",
    "cases": [
        case("thoughts and two calls",
             "<mm:think>Hm.</mm:think>Yes." + elements("<tool_call>\n")
             + elements('<invoke name="get_weather"><city>Paris</city><days>2</days></invoke>\n')
             + elements('<invoke name="time"></invoke>\n</tool_call>'), "Yes.", "Hm.",
             [("get_weather", PARIS), ("time", "{}")]),
        case("no thoughts", "</mm:think>Yes.", "Yes."),
        case("lists and objects, texts that look like numbers",
             elements('<tool_call>\n<invoke name="get_weather"><city>75001</city>'
                      "<more></more></invoke>\n")
             + elements('<invoke name="time"><a><item>1</item><item>x y</item></a>'
                        "<b><c>false</c><d></d></b></invoke>\n</tool_call>"),
             calls=[("get_weather", '{"city": "75001", "more": {}}'),
                    ("time", '{"a": [1, "x y"], "b": {"c": false, "d": ""}}')]),
        case("tags in a text",
             elements('<tool_call>\n<invoke name="get_weather"><city>') + "<b>\n\"c\"</b>"
             + elements("</city></invoke>\n</tool_call>"),
             calls=[("get_weather", '{"city": "<b>\\n\\"c\\"</b>"}')]),
        case("not one", elements("<tool_call>") + "hello" + elements("</tool_call>") + ".",
             "<tool_call>hello</tool_call>."),
        case("half", "a" + elements('<tool_call>\n<invoke name="time"><a>'), "a"),
    ],
}
RECIPIENTS = {
    "style": "recipients",
    "template": "Respond:\n>>>${recipient}\n${content} '>>>all\n'",
    "cases": [
        case("an answer", "all\nYes,\n>>> no.", "Yes,\n>>> no."),
        case("a word and two calls",
             "all\nI look.>>>get_weather\n" + PARIS + ">>>time\n{}", "I look.",
             calls=[("get_weather", PARIS), ("time", "{}")]),
        case("markers within arguments, after a marker",
             '>>>time\n{"a": ">>>all\\n"}>>>all\nYes.', "Yes.",
             calls=[("time", '{"a": ">>>all\\n"}')]),
        case("no arguments", "time\n", calls=[("time", "{}")]),
        case("words for arguments", "time\nnow", calls=[("time", "now")]),
        case("no header", "Hello,\nyou.", "Hello,\nyou."),
        case("a marker, and no header", ">>> Hello,\nyou.", ">>> Hello,\nyou."),
        case("an unknown name is text", "all\na>>>main\nb", "a>>>main\nb"),
        case("half a header", "all\na>>>get_wea", "a"),
        case("half of the arguments", "time\n{\"a", calls=[("time", '{"a')]),
    ],
}
FUNCTIONS = {
    "style": "JSON in <function=",
    "template": "<function=x>{}</function>",
    "cases": [
        case("a word and two calls",
             "Yes.<function=get_weather>" + PARIS + "</function><function=time>{}</function>",
             "Yes.", calls=[("get_weather", PARIS), ("time", "{}")]),
        case("an unknown name is text", "<function=main>{}</function>",
             "<function=main>{}</function>"),
        case("no object is text", "<function=time> is a tag.", "<function=time> is a tag."),
        case("half a name", "a<function=get_wea", "a"),
        case("half of the arguments", '<function=time>{"a', calls=[("time", '{"a')]),
    ],
}


def after(marker, name):
    return {
        "style": name,
        "template": marker.strip("{}") + "[ <think></think>",
        "cases": [
            case("two calls",
                 "<think>Hm.</think>" + marker + '[{"name": "get_weather", "arguments": ' + PARIS
                 + '}, {"name": "time", "arguments": {}}]', "", "Hm.",
                 [("get_weather", PARIS), ("time", "{}")]),
            case("one", "Yes. " + marker + ' {"name": "time", "arguments": {}}', "Yes.",
                 calls=[("time", "{}")]),
            case("not one, as text", marker.strip("{}") + " is a word",
                 marker.strip("{}") + " is a word"),
            case("half a call", "a" + marker + '[{"name": "ti', "a"),
        ],
    }


UPPER = {
    "style": "JSON in <TOOLCALL>",
    "template": "<TOOLCALL>[]</TOOLCALL> <think></think>",
    "cases": [
        case("two calls",
             '<TOOLCALL>[{"name": "get_weather", "arguments": ' + PARIS
             + '}, {"name": "time", "arguments": {}}]</TOOLCALL>',
             calls=[("get_weather", PARIS), ("time", "{}")]),
    ],
}
CODE = {
    "style": "JSON or code",
    "template": "python_tools <code></code> <tool_call>{\"name\": , \"arguments\": }</tool_call>"
                "<think></think>",
    "cases": [
        case("JSON",
             '<think>\nHm.\n</think>\n<tool_call>\n{"name": "get_weather", "arguments": ' + PARIS
             + "}\n</tool_call>", "", "Hm.", [("get_weather", PARIS)]),
        case("calls as code", "Yes.\n<code>\nget_weather(city='Paris', days=2)\n</code>", "Yes.",
             calls=[("get_weather", PARIS)]),
        case("a list of calls", "<code>[time(), get_weather(city='Paris', days=2)]</code>",
             calls=[("time", "{}"), ("get_weather", PARIS)]),
        case("code that calls nothing", "<code>x = 1\nprint(x)</code> is code",
             "<code>x = 1\nprint(x)</code> is code"),
        case("code with a tool and more", "<code>time()\nprint(1)</code>",
             "<code>time()\nprint(1)</code>"),
        case("half a call", "a\n<code>time(a=", "a\n"),
        case("half of some code", "a\n<code>print(", "a\n<code>print("),
    ],
}

STYLES = [
    KIMI, COMMAND, markup("function_calls", "markup"), markup("tool_calls", "markup of calls"),
    ELEMENTS, RECIPIENTS, FUNCTIONS, after("{{<|tool_call|>}}", "after a token"),
    after("{{<|function_call|>}}", "after another"), after("functools", "after a word"), UPPER,
    CODE
]
