// What unmodified clients on the JVM are answered, and whether what they send arrives. Prints JSON.
//   java Clients matrix ADDRESS KEY FILE: FILE holds {users: {NAME: USER}, flags: {FLAG: type of its values}}
//   java Clients event ADDRESS KEY USER

import com.amplitude.Amplitude;
import com.amplitude.AmplitudeCallbacks;
import com.amplitude.Event;
import com.amplitude.experiment.Experiment;
import com.amplitude.experiment.ExperimentUser;
import com.amplitude.experiment.RemoteEvaluationConfig;
import com.amplitude.experiment.Variant;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import dev.openfeature.contrib.providers.ofrep.OfrepProvider;
import dev.openfeature.contrib.providers.ofrep.OfrepProviderOptions;
import dev.openfeature.sdk.Client;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.ImmutableContext;
import dev.openfeature.sdk.OpenFeatureAPI;
import dev.openfeature.sdk.Structure;
import dev.openfeature.sdk.Value;
import java.io.File;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

public class Clients {
  public static void main(String[] arguments) throws Exception {
    Object told = arguments[0].equals("matrix") ? matrix(arguments) : event(arguments);
    System.out.println(new ObjectMapper().writeValueAsString(told));
    System.exit(0); // the SDKs' threads would keep it alive
  }

  @SuppressWarnings("unchecked")
  static Object matrix(String[] arguments) throws Exception {
    String address = arguments[1], key = arguments[2];
    Map<String, Map<String, Object>> asked = new ObjectMapper().readValue(new File(arguments[3]), Map.class);
    OfrepProviderOptions options =
        OfrepProviderOptions.builder()
            .baseUrl(address)
            .headers(ImmutableMap.of("Authorization", ImmutableList.of("Bearer " + key)))
            .build();
    OpenFeatureAPI.getInstance().setProviderAndWait(OfrepProvider.constructProvider(options));
    Client client = OpenFeatureAPI.getInstance().getClient();
    var remote = Experiment.initializeRemote(key, RemoteEvaluationConfig.builder().serverUrl(address).build());
    Map<String, Object> byProvider = new LinkedHashMap<>(), bySdk = new LinkedHashMap<>();
    for (var each : asked.get("users").entrySet()) {
      Map<String, Object> user = (Map<String, Object>) each.getValue();
      Map<String, Value> attributes = new HashMap<>(Structure.mapToStructure(user).asMap());
      String id = (String) user.get("user_id");
      var context = id == null ? new ImmutableContext(attributes) : new ImmutableContext(id, attributes);
      Map<String, Object> given = new LinkedHashMap<>();
      for (var flag : asked.get("flags").entrySet()) {
        FlagEvaluationDetails<?> details = details(client, flag.getKey(), (String) flag.getValue(), context);
        given.put(flag.getKey(), details.getErrorCode() == null ? details.getVariant() : details.getErrorCode().name());
      }
      byProvider.put(each.getKey(), given);
      if (user.get("groups") == null) { // of which it knows nothing
        Map<String, Object> variants = new LinkedHashMap<>();
        for (Map.Entry<String, Variant> variant : remote.fetch(sdkUser(user)).get().entrySet()) {
          variants.put(variant.getKey(), variant.getValue().value);
        }
        bySdk.put(each.getKey(), variants);
      }
    }
    return Map.of("jvm openfeature", byProvider, "jvm remote", bySdk);
  }

  static FlagEvaluationDetails<?> details(Client client, String flag, String type, ImmutableContext context) {
    switch (type) {
      case "boolean":
        return client.getBooleanDetails(flag, false, context);
      case "string":
        return client.getStringDetails(flag, "none", context);
      case "number":
        return client.getDoubleDetails(flag, -1.0, context);
      default:
        return client.getObjectDetails(flag, new Value("none"), context);
    }
  }

  @SuppressWarnings("unchecked")
  static ExperimentUser sdkUser(Map<String, Object> user) {
    return ExperimentUser.builder()
        .userId((String) user.get("user_id"))
        .deviceId((String) user.get("device_id"))
        .country((String) user.get("country"))
        .version((String) user.get("version"))
        .userProperties((Map<String, Object>) user.get("user_properties"))
        .build();
  }

  static Object event(String[] arguments) throws Exception {
    Amplitude analytics = Amplitude.getInstance();
    analytics.init(arguments[2]);
    analytics.setServerUrl(arguments[1] + "/2/httpapi");
    CountDownLatch isAnswered = new CountDownLatch(1);
    int[] status = {0};
    analytics.setCallbacks(
        new AmplitudeCallbacks() {
          @Override
          public void onLogEventServerResponse(Event event, int code, String message) {
            status[0] = code;
            isAnswered.countDown();
          }
        });
    analytics.logEvent(new Event("purchase", arguments[3]));
    analytics.flushEvents();
    isAnswered.await(20, TimeUnit.SECONDS);
    return Map.of("status", status[0]);
  }
}
