-- Written by tidegate at every start and reload of HAProxy; changes made here are lost.
local told = {}

local function now(txn)
  return tonumber(txn.f:date(0, "us")) / 1e6
end

local function tell(slot, since, at)
  if told[slot] and math.abs(at - told[slot]) < 0.05 then return end
  told[slot] = at
  local caller = core.tcp()
  caller:settimeout(1)
  if caller:connect("unix@/tmp/t/wake.sock") then
    caller:send(string.format("%s %.6f\n", slot, since))
  end
  caller:close()
end

core.register_action("hold", {"http-req"}, function(txn)
  local slot, since = txn.f:be_name(), now(txn)
  local at, checked = since, 0
  -- Counted from its first arrival, however often it comes again.
  local came = (tonumber(txn.f:req_hdr("X-Tidegate-Start")) or since * 1e6) / 1e6
  while tonumber(txn.f:be_conn_free(slot)) < 0 and math.abs(at - came) < 60 do
    tell(slot, since, at)
    if math.abs(at - checked) > 0.05 then
      checked = at
      if tonumber(core.get_info()["Stopping"]) == 1 then
        txn:set_var("txn.leave", true)
        return
      end
    end
    core.msleep(3)
    at = now(txn)
  end
end, 0)
