// What stands where a processor's element would be. A real one reads the configuration, fills the mount point with its
// fields and confirms the payment; this one only says that it was reached.
(() => {
  const configuration = JSON.parse(document.getElementById('payment-configuration').textContent);
  const mount = document.getElementById('payment-element');
  mount.textContent = `This sandbox has no processor. Payment ${configuration.payment_id} is open.`;
})();
