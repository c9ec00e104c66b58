-- Health of an Endpoint (tidegate.io) for Argo CD: the value of resource.customizations.health.tidegate.io_Endpoint
-- in the ConfigMap argocd-cm.
local hs = { status = "Progressing", message = "waiting for tidegate" }
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end
hs.message = status.message
if status.reason == "Paused" then
  hs.status = "Suspended"
end
for _, condition in ipairs(status.conditions) do
  if condition.type == "Stalled" and condition.status == "True" then
    hs.status = "Degraded"
  end
  if condition.type == "Ready" and condition.status == "True" then
    hs.status = "Healthy"
  end
end
return hs
