// npm's client `consul`, told line by line on standard input what to do, since the story is the test's.
//
//   {"id": 1, "agent": 0, "call": "agent.service.register", "options": {...}}
//       {"id": 1, "result": ...}  or  {"id": 1, "error": "...", "status": 404}
//   {"watch": "w", "agent": 0, "call": "health.service", "options": {...}}
//       {"watch": "w", "value": ..., "index": "..."} for each change, {"watch": "w", "error": ...}, and
//       {"watch": "w", "ended": true}
//
// Arguments: the agents' addresses, HOST:PORT. NODE_PATH leads to the client.
"use strict";

const Consul = require("consul");
const readline = require("readline");

const agents = process.argv.slice(2).map((address) => {
  const [host, port] = address.split(":");
  return new Consul({ host, port: Number(port) });
});

function say(message) {
  process.stdout.write(JSON.stringify(message === undefined ? null : message) + "\n");
}

function find(agent, call) {
  const words = call.split(".");
  const last = words.pop();
  const owner = words.reduce((value, word) => value[word], agent);
  return [owner, owner[last]];
}

async function call({ id, agent, call, options }) {
  const [owner, method] = find(agents[agent], call);
  try {
    const result = options === undefined ? await method.call(owner) : await method.call(owner, options);
    say({ id, result: result === undefined ? null : result });
  } catch (error) {
    say({ id, error: String(error.message), status: error.statusCode || null });
  }
}

function watch({ watch, agent, call, options }) {
  const [, method] = find(agents[agent], call);
  const watcher = agents[agent].watch({ method, options, backoffFactor: 50 });
  watcher.on("change", (value, response) =>
    say({ watch, value, index: response.headers["x-consul-index"] }),
  );
  watcher.on("error", (error) => say({ watch, error: String(error.message) }));
  watcher.on("end", () => say({ watch, ended: true }));
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.watch !== undefined) watch(message);
  else call(message);
}).on("close", () => process.exit(0));
