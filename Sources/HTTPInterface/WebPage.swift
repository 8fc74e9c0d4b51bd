// The page that browsers get at `/`: a chat, the models, the budget, the speeds of the moment. One
// text without a build step, and nothing from elsewhere: it asks the routes that all clients ask.

internal import NIOCore
internal import NIOHTTP1

enum WebPage {
    /// Whether whoever asks for `/` is a browser: clients of Ollama ask there, too.
    static func isWanted(by head: HTTPRequestHead) -> Bool {
        head.headers["accept"].contains { $0.contains("text/html") }
    }

    /// Only what is in the page runs, and it may ask only this service.
    static let headers = HTTPHeaders([
        ("Content-Type", "text/html; charset=utf-8"),
        (
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                + "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                + "frame-ancestors 'none'"
        ), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-cache"), ("Vary", "Accept")
    ])

    static var text: ByteBuffer {
        var buffer = ByteBuffer()
        for part in [start, style, body, script, end] { buffer.writeStaticString(part) }
        return buffer
    }

    private static let start: StaticString = """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><title>Sluice</title>
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <link rel="icon" href="data:,">

        """

    private static let style: StaticString = """
        <style>
        :root { color-scheme: light dark; --line: #8884; --mine: #4a90d922; --bar: #4a90d9; }
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 60rem; height: 100dvh; padding: .5rem 1rem;
          display: flex; flex-direction: column; gap: .5rem; font: 1rem/1.5 system-ui, sans-serif; }
        header, form { display: flex; gap: .5rem; align-items: center; flex-wrap: wrap; }
        h1 { font-size: 1.1rem; margin: 0 auto 0 0; }
        #chat { flex: 1; overflow-y: auto; }
        #chat > div { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0;
          padding: .5rem .75rem; border: 1px solid var(--line); border-radius: .5rem; }
        #chat > .user { background: var(--mine); margin-left: 15%; }
        #chat > .error { border-color: #c33; }
        #chat small, #now { color: #888; font-size: .85rem; }
        details { color: #888; }
        #budget { display: flex; height: .75rem; overflow: hidden;
          border: 1px solid var(--line); border-radius: .4rem; }
        #budget i { background: var(--bar); border-right: 1px solid Canvas; }
        textarea { flex: 1; min-width: 12rem; font: inherit; resize: vertical; }
        button, select, input { font: inherit; }
        </style></head>

        """

    private static let body: StaticString = """
        <body>
        <header>
          <h1>Sluice</h1>
          <label>Model <select id="model"></select></label>
          <label id="secret" hidden>Token
            <input id="token" type="password" autocomplete="off"></label>
          <button id="new" type="button">New chat</button>
        </header>
        <div id="budget" role="img" aria-label="memory"></div>
        <div id="now" aria-live="off"></div>
        <main id="chat" aria-live="polite"></main>
        <form id="form">
          <textarea id="text" rows="2" placeholder="Ask something" aria-label="Message"></textarea>
          <button id="send">Send</button>
          <button id="stop" type="button" hidden>Stop</button>
        </form>

        """

    private static let script: StaticString = #"""
        <script>
        "use strict";
        const $ = id => document.getElementById(id);
        const mib = bytes => (bytes / 1048576).toFixed(bytes < 1e7 ? 1 : 0) + " MiB";
        let messages = [], running = null, last = null;
        $("token").value = sessionStorage.getItem("token") || "";
        $("token").onchange = () => {
          sessionStorage.setItem("token", $("token").value);
          look();
        };

        function ask(path, body, signal) {
          const headers = {};
          if ($("token").value) headers.Authorization = "Bearer " + $("token").value;
          if (body) headers["Content-Type"] = "application/json";
          return fetch(path, { method: body ? "POST" : "GET", headers, signal,
            body: body && JSON.stringify(body) }).then(async reply => {
              if (reply.status === 401) $("secret").hidden = false;
              if (reply.ok) return reply;
              const told = await reply.json().catch(() => null);
              throw new Error(told?.error?.message || "status " + reply.status);
            });
        }

        function add(kind, text) {
          const place = document.createElement("div");
          place.className = kind;
          place.textContent = text;
          $("chat").append(place);
          place.scrollIntoView(false);
          return place;
        }

        // The models, and which are in memory.
        function showModels(list) {
          const chosen = $("model").value;
          $("model").replaceChildren(...list.map(model => {
            const option = document.createElement("option");
            option.value = model.id;
            option.textContent = model.id + (model.sluice?.loaded ? " (in memory)" : "")
              + (model.sluice?.file_bytes ? ", " + mib(model.sluice.file_bytes) : "");
            return option;
          }));
          const loaded = list.find(model => model.sluice?.loaded);
          if (list.some(model => model.id === chosen)) $("model").value = chosen;
          else if (loaded) $("model").value = loaded.id;
        }

        // The budget by purpose, and what happened since the last look.
        function showMetrics(text) {
          const values = {}, terms = [];
          for (const line of text.split("\n")) {
            const term = line.match(/^sluiced_memory_bytes\{term="([^"]*)"\} (.*)/);
            if (term) terms.push([term[1], Number(term[2])]);
            const plain = line.match(/^(sluiced_\w+) (\S+)$/);
            if (plain) values[plain[1]] = Number(plain[2]);
          }
          const limit = values.sluiced_memory_limit_bytes;
          const held = terms.reduce((sum, term) => sum + term[1], 0);
          const all = limit || held;
          $("budget").replaceChildren(...terms.map(([name, bytes]) => {
            const part = document.createElement("i");
            part.style.width = 100 * bytes / all + "%";
            part.title = name + ": " + mib(bytes);
            return part;
          }));
          const now = { at: performance.now(), flash: values.sluiced_flash_bytes_total,
            tokens: values.sluiced_generated_tokens_total };
          const parts = ["memory " + mib(held) + (limit ? " of " + mib(limit) : "")];
          const count = name => values["sluiced_generations_" + name] || 0;
          parts.push(count("running") + " answered now, " + count("waiting") + " waiting");
          if (last && now.at > last.at) {
            const rate = (new_, old) => (new_ - old) * 1000 / (now.at - last.at);
            const tokens = rate(now.tokens, last.tokens), flash = rate(now.flash, last.flash);
            if (tokens > 0) parts.push(tokens.toFixed(1) + " tokens/s");
            if (flash > 0) parts.push(mib(flash) + "/s from flash");
          }
          last = now;
          $("now").textContent = parts.join(" · ");
        }

        async function look() {
          if (document.hidden) return;
          try {
            showModels((await (await ask("/v1/models")).json()).data);
            showMetrics(await (await ask("/metrics")).text());
          } catch (error) {
            $("now").textContent = error.message;
          }
        }

        // The objects of a stream of events.
        async function* events(reply) {
          const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
          let rest = "";
          for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            const lines = (rest + value).split("\n");
            rest = lines.pop();
            for (const line of lines) {
              if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
              const event = JSON.parse(line.slice(6));
              if (event.error) throw new Error(event.error.message);
              yield event;
            }
          }
        }

        function describe(expected) {
          const parts = [];
          if (expected.time_to_first_token_ms != null)
            parts.push("first token after " + (expected.time_to_first_token_ms / 1000).toFixed(1)
              + " s");
          if (expected.tokens_per_second != null)
            parts.push(expected.tokens_per_second.toFixed(1) + " tokens/s");
          return "expected: " + parts.join(", ");
        }

        async function answer() {
          running = new AbortController();
          $("send").hidden = true;
          $("stop").hidden = false;
          const place = add("assistant", ""), told = document.createElement("small");
          const thought = document.createElement("details"), text = document.createElement("span");
          thought.hidden = true;
          thought.append(Object.assign(document.createElement("summary"),
            { textContent: "thinking" }), document.createElement("span"));
          place.append(thought, text, document.createElement("br"), told);
          told.textContent = "waiting";
          let said = "", started = 0, pieces = 0;
          try {
            const reply = await ask("/v1/chat/completions", { model: $("model").value, messages,
              stream: true, sluice: { statistics: true } }, running.signal);
            for await (const event of events(reply)) {
              const delta = event.choices[0]?.delta || {};
              if (event.sluice?.expected) told.textContent = describe(event.sluice.expected);
              if (delta.reasoning_content) {
                thought.hidden = false;
                thought.lastChild.textContent += delta.reasoning_content;
              }
              if (delta.content) text.textContent = said += delta.content;
              if (delta.content || delta.reasoning_content) {
                started ||= performance.now();
                const seconds = (performance.now() - started) / 1000;
                if (pieces++ > 3) told.textContent = (pieces / seconds).toFixed(1) + " pieces/s";
              }
              if (event.timings) {
                const { predicted_n: count, predicted_per_second: rate, prompt_n, prompt_ms,
                  cache_n } = event.timings;
                told.textContent = count + " tokens, " + rate.toFixed(1) + " tokens/s; prompt of "
                  + (prompt_n + cache_n) + " tokens (" + cache_n + " found again) in "
                  + (prompt_ms / 1000).toFixed(1) + " s; " + mib(event.sluice?.flash_bytes || 0)
                  + " from flash";
              }
              place.scrollIntoView(false);
            }
            messages.push({ role: "assistant", content: said });
          } catch (error) {
            if (error.name === "AbortError") {
              told.textContent = "stopped";
              messages.push({ role: "assistant", content: said });
            } else {
              messages.pop();
              place.classList.add("error");
              told.textContent = error.message;
            }
          }
          running = null;
          $("send").hidden = false;
          $("stop").hidden = true;
          look();
        }

        $("form").onsubmit = event => {
          event.preventDefault();
          const content = $("text").value.trim();
          if (!content || running) return;
          $("text").value = "";
          messages.push({ role: "user", content });
          add("user", content);
          answer();
        };
        $("text").onkeydown = event => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          $("form").requestSubmit();
        };
        $("stop").onclick = () => running?.abort();
        $("new").onclick = () => {
          running?.abort();
          messages = [];
          $("chat").replaceChildren();
        };
        look();
        setInterval(look, 2000);
        </script>

        """#

    private static let end: StaticString = "</body></html>\n"
}
