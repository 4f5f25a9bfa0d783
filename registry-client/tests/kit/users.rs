//! Users and roles behind the SDK's back.

use registry_proto::authpb::{Permission, permission};
use registry_proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserGrantRoleRequest, AuthenticateRequest,
};

use super::Calls;

/// The password of whoever a test has not given another.
pub(crate) const PASSWORD: &str = "correct-horse";

impl Calls {
    /// Makes `root` and a user `pay` who may do everything below the prefix.
    pub(crate) async fn add_users(&mut self, prefix: &str) {
        for user in ["root", "pay"] {
            self.add_user(user).await;
            self.auth.role_add(AuthRoleAddRequest { name: user.to_owned() }).await.unwrap();
            let grant = AuthUserGrantRoleRequest { user: user.to_owned(), role: user.to_owned() };
            self.auth.user_grant_role(grant).await.unwrap();
        }
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let permission = Permission {
            perm_type: permission::Type::Readwrite.into(),
            key: prefix.to_owned().into(),
            range_end: end.into(),
        };
        let grant = AuthRoleGrantPermissionRequest { name: "pay".to_owned(), perm: Some(permission) };
        self.auth.role_grant_permission(grant).await.unwrap();
    }

    /// Makes a user; every change of users makes older tokens that carry their user useless.
    pub(crate) async fn add_user(&mut self, user: &str) {
        let request = AuthUserAddRequest { name: user.to_owned(), password: PASSWORD.to_owned(), ..Default::default() };
        self.auth.user_add(request).await.unwrap();
    }

    pub(crate) async fn change_password(&mut self, user: &str, password: &str) {
        let (name, password) = (user.to_owned(), password.to_owned());
        let request = AuthUserChangePasswordRequest { name, password, ..Default::default() };
        self.auth.user_change_password(request).await.unwrap();
    }

    /// From now on the server asks who calls; these calls are root's.
    pub(crate) async fn enable_auth(&mut self) {
        self.auth.auth_enable(AuthEnableRequest {}).await.unwrap();
        self.log_in().await;
    }

    pub(crate) async fn disable_auth(&mut self) {
        self.log_in().await;
        self.auth.auth_disable(AuthDisableRequest {}).await.unwrap();
        *self.token.lock().unwrap() = None;
    }

    /// Root's last token may have ended.
    pub(crate) async fn log_in(&mut self) {
        let token = self.token_of("root").await;
        *self.token.lock().unwrap() = Some(token.parse().unwrap());
    }

    pub(crate) async fn token_of(&mut self, user: &str) -> String {
        *self.token.lock().unwrap() = None;
        let request = AuthenticateRequest { name: user.to_owned(), password: PASSWORD.to_owned() };
        self.auth.authenticate(request).await.unwrap().into_inner().token
    }
}
