#!/bin/sh
# The first run at AWS: two versions of a small endpoint, an aborted rollout, and everything deleted again. Some cents.
# Needs REGION, ROLE_ARN and BUCKET, AWS credentials, 'pip install tidegate[aws]', and a model (MODEL, NEXT_MODEL).
set -u
: "${REGION:?such as eu-central-1}" "${ROLE_ARN:?the execution role}" "${BUCKET:?for model data, in that region}"
MODEL=${MODEL:-tidegate-examples/payroll-fraud/v1.ubj}
NEXT_MODEL=${NEXT_MODEL:-tidegate-examples/payroll-fraud/better.ubj}
NAME=${NAME:-tidegate-checklist}
WORK=$(mktemp -d)
export TIDEGATE_TARGETS="$WORK/targets.yaml"

cat > "$TIDEGATE_TARGETS" <<TARGETS
sagemaker:
  region: $REGION
  role_arn: $ROLE_ARN
  bucket: $BUCKET
  accept_larger_steps: true
TARGETS

write_spec() {
  cat > "$WORK/spec.yaml" <<SPEC
endpoint: $NAME
target: sagemaker
model: {image: tidegate/xgboost, data: $(realpath "$1")}
instances: 2
instance_type: ml.t2.medium
rollout: {strategy: canary, size: 50%, wait: $2, final_bake: 1m}
alarms:
  errors: {metric: Invocation5XXErrors, statistic: Average, above: 2%, period: 1m, periods: 2}
SPEC
}

expect() {  # status, what, command...
  wanted=$1 what=$2
  shift 2
  "$@"
  got=$?
  if [ "$got" -eq "$wanted" ]; then echo "ok  $what"; else echo "NOT $what: exit status $got, expected $wanted"; fi
}

direct() { tidegate direct "$@" --target sagemaker; }

write_spec "$MODEL" 1m
expect 0 "1 the preflight finds nothing" tidegate target doctor "$WORK/spec.yaml" --target sagemaker
expect 0 "2 the first version is created" direct deploy "$WORK/spec.yaml"
expect 0 "3 the same again changes nothing" direct deploy "$WORK/spec.yaml"
write_spec "$NEXT_MODEL" 1m
expect 0 "4 a canary goes forward" direct deploy "$WORK/spec.yaml"
write_spec "$MODEL" 30m
expect 0 "5 a long canary begins" direct deploy "$WORK/spec.yaml" --no-wait
expect 0 "6 abort rolls it back" direct abort "$NAME"
expect 3 "7 the rollback is told later, too" direct status "$NAME"
expect 0 "8 the history is shown" direct history "$NAME"
expect 0 "9 everything is deleted" direct delete "$NAME"
expect 1 "10 it is gone" direct status "$NAME"
rm -r "$WORK"
