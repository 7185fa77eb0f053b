// What each unmodified client in JavaScript gives each user: node matrix.cjs ADDRESS SERVER_KEY CLIENT_KEY FILE. Prints JSON.
// FILE holds {users: {NAME: USER}, flags: {FLAG: type of its values}}.
const fs = require("node:fs");
const { Experiment: Server } = require("@amplitude/experiment-node-server");
const { Experiment: Browser } = require("@amplitude/experiment-js-client");
const { OFREPProvider } = require("@openfeature/ofrep-provider");
const { OFREPWebProvider } = require("@openfeature/ofrep-web-provider");
const { OpenFeature } = require("@openfeature/server-sdk");
const { OpenFeature: WebOpenFeature } = require("@openfeature/web-sdk");

const [address, serverKey, clientKey, file] = process.argv.slice(2);
const { users, flags } = JSON.parse(fs.readFileSync(file, "utf8"));
const keys = (variants) => Object.fromEntries(Object.entries(variants).map(([flag, each]) => [flag, each.key]));
const contextOf = ({ user_id: targetingKey, ...rest }) => (targetingKey ? { targetingKey, ...rest } : rest);
const headers = [["Authorization", `Bearer ${serverKey}`]];

const ask = (client, flag, context) => {
  switch (flags[flag]) {
    case "boolean":
      return client.getBooleanDetails(flag, false, context);
    case "string":
      return client.getStringDetails(flag, "none", context);
    case "number":
      return client.getNumberDetails(flag, -1, context);
    default:
      return client.getObjectDetails(flag, {}, context);
  }
};
const told = (details) => details.errorCode ?? details.variant;

async function main() {
  const remote = Server.initializeRemote(serverKey, { serverUrl: address });
  const local = Server.initializeLocal(serverKey, {
    serverUrl: address,
    cohortSyncConfig: { apiKey: "any", secretKey: serverKey, cohortServerUrl: address },
  });
  await local.start();
  const browser = Browser.initialize(clientKey, { serverUrl: address, flagsServerUrl: address, pollOnStart: false });
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: address, headers }));
  const server = OpenFeature.getClient();
  await WebOpenFeature.setContext({});
  await WebOpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl: address, headers, pollInterval: 0 }));
  const web = WebOpenFeature.getClient();

  const given = {};
  const note = (client, name, answers) => {
    given[client] = { ...given[client], [name]: answers };
  };
  for (const [name, user] of Object.entries(users)) {
    note("node remote", name, keys(await remote.fetchV2(user)));
    note("node local", name, keys(local.evaluateV2(user)));
    await browser.fetch(user);
    note("browser", name, keys(browser.all()));
    const context = contextOf(user);
    const entries = Object.keys(flags).map(async (flag) => [flag, told(await ask(server, flag, context))]);
    note("node openfeature", name, Object.fromEntries(await Promise.all(entries)));
    await WebOpenFeature.setContext(context);
    note("web openfeature", name, Object.fromEntries(Object.keys(flags).map((flag) => [flag, told(ask(web, flag))])));
  }
  process.stdout.write(`${JSON.stringify(given)}\n`, () => process.exit(0)); // pollers would keep it alive
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
