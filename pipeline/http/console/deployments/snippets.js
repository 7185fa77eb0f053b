// Snippets: what a program is given to ask this server and to send to it, by SDK (docs/protocols.md tells more of each).

/** @typedef {"client" | "server"} Kind Whose key it is: a client's may be looked into by anybody. */

/**
 * @typedef {{ says: string, of: Kind[], onlyAsks?: true, write: (server: string, key: string) => string }} Snippet `of`:
 *   of whose keys it makes use; `onlyAsks`: it sends no exposure, without which nothing counts.
 */

/** @type {Record<string, Snippet>} */
export const SNIPPETS = {
  browser: {
    says: "JavaScript in browsers (Amplitude)",
    of: ["client"],
    write: (server, key) => `// npm install @amplitude/experiment-js-client
import { Experiment } from "@amplitude/experiment-js-client";

const user = { user_id: "USER-1" };
const send = (event_type, event_properties) =>
  fetch("${server}/2/httpapi", {
    method: "POST",
    keepalive: true,
    body: JSON.stringify({ api_key: "${key}", events: [
      { ...user, event_type, event_properties, time: Date.now(), insert_id: crypto.randomUUID() },
    ] }),
  });
const experiment = Experiment.initialize("${key}", {
  serverUrl: "${server}",
  flagsServerUrl: "${server}",
  exposureTrackingProvider: { track: (exposure) => send("$exposure", exposure) },
});
await experiment.start(user);
const variant = experiment.variant("FLAG"); // and sends that the user met it
send("purchase", { revenue: 12.5 });`,
  },
  node: {
    says: "Node (Amplitude)",
    of: ["server"],
    write: (server, key) => `// npm install @amplitude/experiment-node-server @amplitude/analytics-node
import { init, track } from "@amplitude/analytics-node";
import { Experiment } from "@amplitude/experiment-node-server";

const experiment = Experiment.initializeLocal("${key}", {
  serverUrl: "${server}",
  streamUpdates: true,
  streamServerUrl: "${server}",
  cohortSyncConfig: { apiKey: "any", secretKey: "${key}", cohortServerUrl: "${server}" },
});
await experiment.start();
init("${key}", { serverUrl: "${server}/2/httpapi" });

const user = { user_id: "USER-1" };
const variant = experiment.evaluateV2(user)["FLAG"];
// where the user meets it, and does what a metric counts
track("$exposure", { flag_key: "FLAG", variant: variant.key, metadata: variant.metadata }, user);
track("purchase", { revenue: 12.5 }, user);`,
  },
  python: {
    says: "Python (Amplitude)",
    of: ["server"],
    write: (server, key) => `# pip install amplitude-experiment amplitude-analytics
from amplitude import Amplitude, BaseEvent, Config
from amplitude_experiment import CohortSyncConfig, Experiment, LocalEvaluationConfig, User

experiment = Experiment.initialize_local(
    "${key}",
    LocalEvaluationConfig(
        server_url="${server}",
        stream_updates=True,
        stream_server_url="${server}",
        cohort_sync_config=CohortSyncConfig("any", "${key}", cohort_server_url="${server}"),
    ),
)
experiment.start()
events = Amplitude("${key}", Config(server_url="${server}/2/httpapi"))

user = User(user_id="USER-1")
variant = experiment.evaluate_v2(user)["FLAG"]
# where the user meets it, and does what a metric counts
met = {"flag_key": "FLAG", "variant": variant.key, "metadata": variant.metadata}
events.track(BaseEvent("$exposure", user_id=user.user_id, event_properties=met))
events.track(BaseEvent("purchase", user_id=user.user_id, event_properties={"revenue": 12.5}))`,
  },
  jvm: {
    says: "JVM (Amplitude)",
    of: ["server"],
    onlyAsks: true,
    write: (server, key) => `// com.amplitude:experiment-jvm-server
import com.amplitude.experiment.*;

var experiment = Experiment.initializeRemote(
    "${key}", RemoteEvaluationConfig.builder().serverUrl("${server}").build());
var variants = experiment.fetch(ExperimentUser.builder().userId("USER").build()).get();`,
  },
  openfeature: {
    says: "OpenFeature (Python)",
    of: ["client", "server"],
    onlyAsks: true,
    write: (server, key) => `# pip install openfeature-sdk openfeature-provider-ofrep
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

api.set_provider(OFREPProvider("${server}", headers_factory=lambda: {"Authorization": "Bearer ${key}"}))
value = api.get_client().get_string_value("FLAG", "off", EvaluationContext(targeting_key="USER"))`,
  },
  evaluate: {
    says: "curl: evaluate",
    of: ["client", "server"],
    onlyAsks: true,
    write: (server, key) => `curl '${server}/sdk/v2/vardata' \\
  --header 'Authorization: Api-Key ${key}' \\
  --json '{"user_id": "USER"}'`,
  },
  send: {
    says: "curl: send events",
    of: ["client", "server"],
    write: (server, key) => `curl '${server}/2/httpapi' --json '{
  "api_key": "${key}",
  "events": [
    {"event_type": "$exposure", "user_id": "USER-1",
     "event_properties": {"flag_key": "FLAG", "variant": "VARIANT"}},
    {"event_type": "purchase", "user_id": "USER-1", "event_properties": {"revenue": 12.5}}
  ]
}'`,
  },
};
