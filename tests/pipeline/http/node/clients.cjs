// What unmodified clients in JavaScript are answered: node clients.cjs ADDRESS SERVER_KEY CLIENT_KEY. Prints JSON.
const { Experiment: Server } = require("@amplitude/experiment-node-server");
const { Experiment: Browser } = require("@amplitude/experiment-js-client");
const { OFREPProvider } = require("@openfeature/ofrep-provider");
const { OpenFeature } = require("@openfeature/server-sdk");

const [address, serverKey, clientKey] = process.argv.slice(2);
const ann = { user_id: "ann", device_id: "phone" };
const keys = (variants) => Object.fromEntries(Object.entries(variants).map(([flag, each]) => [flag, each.key]));

async function main() {
  const told = {};

  const remote = Server.initializeRemote(serverKey, { serverUrl: address });
  told.remote = keys(await remote.fetchV2(ann));

  for (const [name, streamUpdates] of [
    ["local", false],
    ["stream", true],
  ]) {
    const local = Server.initializeLocal(serverKey, {
      serverUrl: address,
      streamUpdates,
      streamServerUrl: address,
      cohortSyncConfig: { apiKey: "any", secretKey: serverKey, cohortServerUrl: address },
    });
    await local.start();
    told[name] = keys(local.evaluateV2(ann));
    local.stop();
  }

  const browser = Browser.initialize(clientKey, { serverUrl: address, flagsServerUrl: address, pollOnStart: false });
  await browser.start(ann);
  told.browser = keys(browser.all());
  browser.stop();

  await OpenFeature.setProviderAndWait(
    new OFREPProvider({ baseUrl: address, headers: [["Authorization", `Bearer ${serverKey}`]] }),
  );
  const openFeature = OpenFeature.getClient();
  const context = { targetingKey: "ann" };
  told.openFeature = {
    beta: await openFeature.getBooleanValue("beta", false, context),
    sticky: await openFeature.getStringValue("sticky", "none", context),
    nothing: (await openFeature.getBooleanDetails("no-such-flag", true, context)).errorCode,
  };

  console.log(JSON.stringify(told));
  process.exit(0); // pollers and streams would keep it alive
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
