/** The development sign-in: one button per made-up person. */
const find = (role, root = document) => root.querySelector(`[data-role="${role}"]`);
const card = find("sign-in");

start().catch((problem) => tell(problem.message));

async function start() {
  const config = await (await fetch("/api/config")).json();
  document.title = `Sign in · ${config.name}`;
  find("app-name").textContent = config.name;
  const response = await fetch("/api/people");
  if (!response.ok) throw new Error(await response.text());
  for (const { id, name, plan } of await response.json()) {
    const button = find("person-template").content.firstElementChild.cloneNode(true);
    button.dataset.user = id;
    find("person-initial", button).textContent = name[0].toUpperCase();
    find("person-name", button).textContent = name;
    find("person-plan", button).textContent = plan;
    button.addEventListener("click", () => signIn(id).catch((problem) => tell(problem.message)));
    find("people").append(button);
  }
}

async function signIn(user) {
  const response = await fetch("/api/sign-in", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user }),
  });
  if (!response.ok) throw new Error(await response.text());
  location.assign("/");
}

function tell(words) {
  card.dataset.status = "blocked";
  find("notice-text").textContent = words;
  find("notice").hidden = false;
}
