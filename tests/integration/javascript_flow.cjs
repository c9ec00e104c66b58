// AWS's SDK for JavaScript v3, unmodified, against the server named by the first argument: a model is deployed, asked,
// watched, scaled, updated and deleted. Arguments: URL, folder with node_modules, URL of one model, URL of another.
// Says what it saw as one JSON object on standard output.
const { createRequire } = require("node:module");
const [url, folder, first, second] = process.argv.slice(2);
const load = createRequire(`${folder}/package.json`);
const sm = load("@aws-sdk/client-sagemaker");
const rt = load("@aws-sdk/client-sagemaker-runtime");
const cw = load("@aws-sdk/client-cloudwatch");
const as = load("@aws-sdk/client-application-auto-scaling");

const settings = {
  endpoint: url,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test-secret" },
  maxAttempts: 1,
};
const sagemaker = new sm.SageMakerClient(settings);
const runtime = new rt.SageMakerRuntimeClient(settings);
const cloudwatch = new cw.CloudWatchClient(settings);
const scaling = new as.ApplicationAutoScalingClient(settings);
const looks = { client: sagemaker, maxWaitTime: 90, minDelay: 1, maxDelay: 1 };
const TARGET = {
  ServiceNamespace: "sagemaker",
  ResourceId: "endpoint/e/variant/main",
  ScalableDimension: "sagemaker:variant:DesiredInstanceCount",
};

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    const { httpStatusCode } = error.$metadata;
    return { name: error.name, message: error.message, status: httpStatusCode, typed: error.constructor.name };
  }
  throw new Error("it was not refused");
}

async function deploy() {
  for (const [name, data] of [["one", first], ["two", second]]) {
    await sagemaker.send(
      new sm.CreateModelCommand({ ModelName: name, PrimaryContainer: { Image: "tidegate/xgboost", ModelDataUrl: data } }),
    );
    const variant = {
      VariantName: "main",
      ModelName: name,
      InitialInstanceCount: 1,
      InstanceType: "ml.m5.large",
      InitialVariantWeight: 0.5,
    };
    await sagemaker.send(new sm.CreateEndpointConfigCommand({ EndpointConfigName: name, ProductionVariants: [variant] }));
  }
  await sagemaker.send(
    new sm.CreateEndpointCommand({ EndpointName: "e", EndpointConfigName: "one", Tags: [{ Key: "team", Value: "risk" }] }),
  );
  const waited = await sm.waitUntilEndpointInService(looks, { EndpointName: "e" });
  return waited.state;
}

async function ask() {
  const answer = await runtime.send(
    new rt.InvokeEndpointCommand({
      EndpointName: "e",
      ContentType: "text/csv",
      Accept: "text/csv",
      Body: "0.1,0.2,0.3,0.4\n1,2,3,4\n",
    }),
  );
  const rows = Buffer.from(answer.Body).toString().trim().split("\n");
  return { rows: rows.map(Number), variant: answer.InvokedProductionVariant, type: answer.ContentType };
}

async function list() {
  const names = [];
  for await (const page of sm.paginateListModels({ client: sagemaker, pageSize: 1 }, {})) {
    names.push(...page.Models.map((each) => each.ModelName));
  }
  const found = await sagemaker.send(new sm.DescribeEndpointCommand({ EndpointName: "e" }));
  const tags = await sagemaker.send(new sm.ListTagsCommand({ ResourceArn: found.EndpointArn }));
  const dates = [found.CreationTime, found.LastModifiedTime].every((each) => each instanceof Date);
  return { names, dates, weight: found.ProductionVariants[0].CurrentWeight, tags: tags.Tags };
}

async function watch() {
  await cloudwatch.send(
    new cw.PutMetricAlarmCommand({
      AlarmName: "errors",
      Namespace: "AWS/SageMaker",
      MetricName: "Invocation5XXErrors",
      Dimensions: [{ Name: "EndpointName", Value: "e" }],
      Statistic: "Sum",
      Period: 60,
      EvaluationPeriods: 1,
      Threshold: 1,
      ComparisonOperator: "GreaterThanThreshold",
      Tags: [{ Key: "team", Value: "risk" }],
    }),
  );
  const found = await cloudwatch.send(new cw.DescribeAlarmsCommand({ AlarmNames: ["errors"] }));
  const alarm = found.MetricAlarms[0];
  const now = new Date();
  const ago = new Date(now.getTime() - 600_000);
  await cloudwatch.send(
    new cw.PutMetricDataCommand({
      Namespace: "Mine",
      MetricData: [{ MetricName: "Depth", Timestamp: now, Values: [1, 2.5], Counts: [2, 1], Unit: "Count" }],
    }),
  );
  const statistics = await cloudwatch.send(
    new cw.GetMetricStatisticsCommand({
      Namespace: "Mine",
      MetricName: "Depth",
      StartTime: ago,
      EndTime: new Date(now.getTime() + 120_000),
      Period: 3600,
      Statistics: ["Sum", "SampleCount"],
      Unit: "Count",
    }),
  );
  const unknown = await refused(
    cloudwatch.send(new cw.ListTagsForResourceCommand({ ResourceARN: `${alarm.AlarmArn}-none` })),
  );
  await cloudwatch.send(new cw.DeleteAlarmsCommand({ AlarmNames: ["errors"] }));
  const left = await cloudwatch.send(new cw.DescribeAlarmsCommand({}));
  return {
    threshold: alarm.Threshold,
    dated: alarm.StateUpdatedTimestamp instanceof Date,
    sum: statistics.Datapoints.reduce((sum, each) => sum + each.Sum, 0),
    count: statistics.Datapoints.reduce((sum, each) => sum + each.SampleCount, 0),
    unknown,
    left: left.MetricAlarms.length,
  };
}

async function scale() {
  await scaling.send(new as.RegisterScalableTargetCommand({ ...TARGET, MinCapacity: 1, MaxCapacity: 2, Tags: { a: "1" } }));
  const policy = {
    TargetValue: 1000,
    PredefinedMetricSpecification: { PredefinedMetricType: "SageMakerVariantInvocationsPerInstance" },
  };
  const put = await scaling.send(
    new as.PutScalingPolicyCommand({
      ...TARGET,
      PolicyName: "load",
      PolicyType: "TargetTrackingScaling",
      TargetTrackingScalingPolicyConfiguration: policy,
    }),
  );
  const targets = await scaling.send(new as.DescribeScalableTargetsCommand({ ServiceNamespace: "sagemaker" }));
  await scaling.send(new as.DeregisterScalableTargetCommand(TARGET));
  const again = await refused(scaling.send(new as.DeregisterScalableTargetCommand(TARGET)));
  return { alarms: put.Alarms.length, bounds: [targets.ScalableTargets[0].MinCapacity, targets.ScalableTargets[0].MaxCapacity], again };
}

async function update() {
  const routing = { Type: "CANARY", WaitIntervalInSeconds: 1, CanarySize: { Type: "CAPACITY_PERCENT", Value: 50 } };
  const deployment = { BlueGreenUpdatePolicy: { TrafficRoutingConfiguration: routing } };
  await sagemaker.send(
    new sm.UpdateEndpointCommand({ EndpointName: "e", EndpointConfigName: "two", DeploymentConfig: deployment }),
  );
  await sm.waitUntilEndpointInService(looks, { EndpointName: "e" });
  const found = await sagemaker.send(new sm.DescribeEndpointCommand({ EndpointName: "e" }));
  return { config: found.EndpointConfigName, deployment: found.LastDeploymentConfig };
}

async function remove() {
  await sagemaker.send(new sm.DeleteEndpointCommand({ EndpointName: "e" }));
  const waited = await sm.waitUntilEndpointDeleted(looks, { EndpointName: "e" });
  const gone = await refused(sagemaker.send(new sm.DescribeEndpointCommand({ EndpointName: "e" })));
  const silent = await refused(runtime.send(new rt.InvokeEndpointCommand({ EndpointName: "e", Body: "1" })));
  return { state: waited.state, gone, silent };
}

async function main() {
  const seen = {};
  seen.deployed = await deploy();
  seen.before = await ask();
  seen.listed = await list();
  seen.watched = await watch();
  seen.scaled = await scale();
  seen.updated = await update();
  seen.after = await ask();
  seen.removed = await remove();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
