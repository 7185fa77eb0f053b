// The same as shoppers.py, in JavaScript: node shoppers.cjs NAME ADDRESS RATE.
const { Experiment } = require("@amplitude/experiment-node-server");
const { createInstance } = require("@amplitude/analytics-node");

const [name, address, rate] = process.argv.slice(2);
const LOOPS = 8; // that evaluate
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function main() {
  const met = {};
  const sent = [];
  let isOver = false;
  process.stdin.on("end", () => (isOver = true)).resume();

  const remote = Experiment.initializeRemote("any", { serverUrl: address, fetchRetries: 0 });
  const analytics = createInstance();
  const serverUrl = `${address}/2/httpapi`;
  await analytics.init("any", { serverUrl, flushQueueSize: 10, flushIntervalMillis: 100, logLevel: 0 }).promise;

  async function buy(user) {
    const { event, code } = await analytics.track("purchase", {}, { user_id: user }).promise;
    return [event.insert_id, user, event.time, code];
  }

  async function evaluate(loop) {
    let due = performance.now();
    for (let number = loop; !isOver; number += LOOPS) {
      due += (1000 * LOOPS) / rate;
      await wait(Math.max(0, due - performance.now()));
      const user = `${name}-${number}`;
      const variants = await remote.fetchV2({ user_id: user }, { tracksExposure: true });
      met[user] = variants.button.key;
      for (let times = Math.floor(number / LOOPS) % 3; times > 0; times--) sent.push(buy(user));
    }
  }

  await Promise.all(Array.from({ length: LOOPS }, (_, loop) => evaluate(loop)));
  const told = JSON.stringify({ met, sent: await Promise.all(sent) });
  process.stdout.write(told, () => process.exit(0)); // connections that are kept would keep it alive
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
