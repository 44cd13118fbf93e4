// Where a photo goes, and for how long: one sentence for each way the page is served.

/** Of the server's answer to about, and where the page itself is from (such as window.location). */
export function privacyWords({ loopback, model_server: server, limits }, { host, protocol }) {
  return [...travels(loopback, server, { host, protocol }), kept(limits.minutes)].join(" ");
}

function travels(loopback, server, { host, protocol }) {
  const words = [];
  if (!loopback) {
    const encrypted = protocol === "https:" ? "" : ", unencrypted";
    words.push(`Your photo travels to ${host}${encrypted}.`);
  }
  if (server) words.push(`The part of it around each face goes on to the model server ${server}.`);
  return words.length ? words : ["Runs on this machine: nothing leaves it."];
}

function kept(minutes) {
  const time = `${minutes} ${minutes === 1 ? "minute" : "minutes"}`;
  return `Photos are kept in memory only, at most ${time} after their last use.`;
}
