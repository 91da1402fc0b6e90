// Serves a GGUF file over `/v1/completions` by an engine that is not ours, llama.cpp, so that a baseline of the
// file can be checked against the same weights behind another runtime:
//
//   npm install node-llama-cpp@3.22.1
//   node tests/real/other_runtime.mjs MODEL.gguf 8123 &
//   kinprobe accept m=gguf:MODEL.gguf --suite short-answer --reason "as shipped" --to /tmp/baselines
//   kinprobe check m=openai:MODEL@http://127.0.0.1:8123/v1 --suite short-answer --baseline /tmp/baselines
//
// Run it in the folder of the installation (`node_modules` is looked for beside this file and in the current
// folder). One prompt at a time, greedily; candidates are those of the first token.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const [file, port] = process.argv.slice(2);
if (!file || !port) {
    console.error("usage: node other_runtime.mjs MODEL.gguf PORT");
    process.exit(2);
}
const installed = createRequire(join(process.cwd(), "here.js")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(installed));
const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({ contextSize: 2048, sequences: 1 });
const sequence = context.getSequence();
const name = basename(file).replace(/\.gguf$/, "");
const CANDIDATES = 8;

/** Continues a prompt greedily up to a stop string, an end of text or so many tokens. */
async function complete(prompt, maxTokens, stop) {
    await sequence.clearHistory();
    const tokens = model.tokenize(prompt, false);
    if (model.tokens.shouldPrependBosToken && model.tokens.bos != null) tokens.unshift(model.tokens.bos);
    const before = model.detokenize(tokens, false);
    const told = { tokens: [], top: {}, reason: "length" };
    let text = "";
    const steps = sequence.evaluateWithMetadata(tokens, { probabilities: true }, { temperature: 0 });
    for await (const { token, probabilities } of steps) {
        if (told.tokens.length === 0) {
            const best = [...probabilities.entries()].sort((a, b) => b[1] - a[1]).slice(0, CANDIDATES);
            for (const [id, p] of best) told.top[model.detokenize([id], false, tokens)] = p > 0 ? Math.log(p) : null;
        }
        if (model.isEogToken(token)) {
            told.reason = "stop";
            break;
        }
        told.tokens.push(token);
        text = model.detokenize([...tokens, ...told.tokens], false).slice(before.length);
        const ends = stop.map((end) => text.indexOf(end)).filter((at) => at >= 0);
        if (ends.length > 0) {
            text = text.slice(0, Math.min(...ends));
            told.reason = "stop";
            break;
        }
        if (told.tokens.length >= maxTokens) break;
    }
    return { text, told, promptTokens: tokens.length };
}

let last = Promise.resolve();
/** One after the other: there is one sequence. */
function inTurn(work) {
    const mine = last.then(work);
    last = mine.catch(() => {});
    return mine;
}

async function body(request) {
    const parts = [];
    for await (const part of request) parts.push(part);
    return JSON.parse(Buffer.concat(parts).toString("utf8"));
}

createServer(async (request, response) => {
    const say = (status, value) => {
        response.writeHead(status, { "content-type": "application/json", server: "node-llama-cpp" });
        response.end(JSON.stringify(value));
    };
    try {
        if (request.url === "/v1/models") {
            return say(200, { object: "list", data: [{ id: name, object: "model", owned_by: "local" }] });
        }
        if (request.url !== "/v1/completions") return say(404, { error: { message: "no such path" } });
        const asked = await body(request);
        const stop = asked.stop == null ? [] : [].concat(asked.stop);
        const { text, told, promptTokens } = await inTurn(() => complete(asked.prompt, asked.max_tokens ?? 16, stop));
        const logprobs = asked.logprobs ? { top_logprobs: [told.top] } : null;
        say(200, {
            object: "text_completion", model: name,
            choices: [{ index: 0, text, finish_reason: told.reason, logprobs }],
            usage: { prompt_tokens: promptTokens, completion_tokens: told.tokens.length },
        });
    } catch (error) {
        say(500, { error: { message: String(error?.message ?? error) } });
    }
}).listen(Number(port), "127.0.0.1", () => console.error(`${name} on http://127.0.0.1:${port}/v1`));
