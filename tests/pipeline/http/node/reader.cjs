// What kafkajs reads of topics, as it comes from npm: node reader.cjs BOOTSTRAP RECORDS TOPIC... Prints JSON.
const { Kafka, logLevel } = require("kafkajs");

const [bootstrap, records, ...topics] = process.argv.slice(2);
const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING });
const consumer = kafka.consumer({ groupId: `reader-${process.pid}` });
const told = Object.fromEntries(topics.map((topic) => [topic, []]));

function fail(error) {
  console.error(error);
  process.exit(1);
}

async function main() {
  await consumer.connect();
  consumer.on(consumer.events.CRASH, ({ payload }) => fail(payload.error));
  await consumer.subscribe({ topics, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ topic, message }) => {
      told[topic].push(message.value.toString());
      if (Object.values(told).flat().length === Number(records)) {
        console.log(JSON.stringify(told));
        process.exit(0);
      }
    },
  });
}

main().catch(fail);
