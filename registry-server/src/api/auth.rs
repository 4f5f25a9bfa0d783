//! The Auth service: users, roles, logins.
//!
//! Passwords end here: what goes on is their hash. Changes go through the log, where they are checked once more.

use registry_proto::etcdserverpb::auth_server::Auth;
use registry_proto::etcdserverpb::*;
use tonic::{Request, Response, Status};

use super::audit::told;
use super::backend::{SharedBackend, auth_error, mismatch};
use super::caller::Caller;
use super::status::WireError;
use crate::apply::Outcome;
use crate::auth::{AuthError, JwtError, PasswordError, digest, new_secret};
use crate::command::{AuthAction, AuthChange, Command, TokenGrant};
use crate::storage::Vfs;
use crate::types::{Author, Runtime};

/// How often a login begins anew because users or roles have changed under it.
const LOGIN_TRIES: usize = 10;

/// What is logged of the name of somebody who is not let in.
const MOST_NAME_CHARS: usize = 64;

/// The Auth service over a backend.
pub struct AuthService<R: Runtime, V: Vfs>(SharedBackend<R, V>);

impl<R: Runtime, V: Vfs> AuthService<R, V> {
    /// A service over `backend`.
    pub fn new(backend: SharedBackend<R, V>) -> Self {
        Self(backend)
    }

    /// Has users or roles changed, in the name of whoever calls.
    async fn change<T>(&self, request: Request<T>, action: fn(T) -> AuthAction) -> Result<ResponseHeader, Status> {
        let author = self.check_admin(&request).await?;
        self.propose(&author, action(request.into_inner())).await
    }

    async fn propose(&self, author: &Author, action: AuthAction) -> Result<ResponseHeader, Status> {
        let command = Command::Auth(AuthChange { action: Some(action) });
        let (revision, _) = self.0.propose(author, &command).await?;
        Ok(self.0.header(revision))
    }

    /// Before anything costs anything. What is permitted is told when it is done.
    async fn check_admin<T>(&self, request: &Request<T>) -> Result<Author, Status> {
        let caller = Caller::of(request);
        let checked = self.0.check_caller(&caller, |auth, author| auth.check_admin(author)).await;
        if checked.is_err() {
            let what = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
            self.0.tell(&caller, "auth", || what.to_owned(), &checked);
        }
        checked
    }

    async fn hash(&self, password: String) -> Result<String, Status> {
        if password.is_empty() {
            let text = "the password is empty: give one, or add the user without a password (--no-password)";
            return Err(Status::invalid_argument(text));
        }
        self.0.logins.passwords.hash::<R>(password).await.map_err(|error| password_status(&error))
    }

    /// Checks a password and grants a token on it; none if users or roles have changed meanwhile.
    async fn log_in(&self, user: &str, password: &str) -> Result<Option<String>, Status> {
        let (hash, revision) = {
            let auth = self.0.state.auth.read();
            if !auth.is_enabled() {
                return Err(WireError::AuthNotEnabled.into());
            }
            (auth.password_of(user).map(str::to_owned), auth.revision())
        };
        let is_right = self.0.logins.passwords.is_right::<R>(user, password.to_owned(), hash).await;
        if !is_right.map_err(|error| password_status(&error))? {
            let user = user.chars().take(MOST_NAME_CHARS).collect::<String>();
            tracing::warn!(user, "a login with a wrong user or password was refused");
            return Err(WireError::AuthFailed.into());
        }
        if let Some(jwt) = self.0.logins.jwt.get() {
            return jwt.issue(user, revision).map(Some).map_err(jwt_status);
        }
        let secret = new_secret().ok_or_else(|| Status::internal("the system has no random numbers"))?;
        let digest = digest(&secret).to_vec().into();
        let grant = Command::Token(TokenGrant { user: user.to_owned(), digest, revision });
        match self.0.propose(&Author::Member, &grant).await {
            Ok((_, Outcome::Token { index })) => Ok(Some(format!("{secret}.{index}"))),
            Ok(_) => Err(mismatch()),
            Err(status) if status.message() == WireError::AuthOldRevision.text() => Ok(None),
            Err(status) => Err(status),
        }
    }
}

fn password_status(error: &PasswordError) -> Status {
    match error {
        PasswordError::TooMany => WireError::TooManyRequests.into(),
        PasswordError::TooLong => Status::invalid_argument(error.to_string()),
        PasswordError::Failed(_) => Status::internal(error.to_string()),
    }
}

fn jwt_status(error: JwtError) -> Status {
    match error {
        JwtError::VerifyOnly => Status::failed_precondition(error.to_string()),
        error => Status::internal(error.to_string()),
    }
}

fn refused(error: AuthError) -> Status {
    auth_error(error).into()
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl<R: Runtime, V: Vfs> Auth for AuthService<R, V> {
    async fn auth_enable(&self, request: Request<AuthEnableRequest>) -> Answer<AuthEnableResponse> {
        let header = Some(self.change(request, AuthAction::Enable).await?);
        Ok(Response::new(AuthEnableResponse { header }))
    }

    async fn auth_disable(&self, request: Request<AuthDisableRequest>) -> Answer<AuthDisableResponse> {
        let header = Some(self.change(request, AuthAction::Disable).await?);
        Ok(Response::new(AuthDisableResponse { header }))
    }

    /// As in etcd, for everybody: a client has to know whether it needs a token.
    async fn auth_status(&self, _: Request<AuthStatusRequest>) -> Answer<AuthStatusResponse> {
        self.0.read_barrier().await?;
        let auth = self.0.state.auth.read();
        let (enabled, auth_revision) = (auth.is_enabled(), auth.revision());
        drop(auth);
        Ok(Response::new(AuthStatusResponse { header: Some(self.0.header_now()), enabled, auth_revision }))
    }

    async fn authenticate(&self, request: Request<AuthenticateRequest>) -> Answer<AuthenticateResponse> {
        let AuthenticateRequest { name, password } = request.into_inner();
        self.0.read_barrier().await?;
        for _ in 0..LOGIN_TRIES {
            let login = self.log_in(&name, &password).await;
            self.0.audit.tell(&Author::Nobody, "authenticate", &format!("log in as {}", told(name.as_bytes())), &login);
            if let Some(token) = login? {
                return Ok(Response::new(AuthenticateResponse { header: Some(self.0.header_now()), token }));
            }
        }
        Err(WireError::AuthOldRevision.into())
    }

    async fn user_add(&self, request: Request<AuthUserAddRequest>) -> Answer<AuthUserAddResponse> {
        let author = self.check_admin(&request).await?;
        let mut request = request.into_inner();
        let has_no_password = request.options.is_some_and(|options| options.no_password);
        let password = std::mem::take(&mut request.password);
        // Whoever knows only a hash knows no password: what clients send of one is not taken.
        request.hashed_password = if has_no_password { String::new() } else { self.hash(password).await? };
        let header = Some(self.propose(&author, AuthAction::UserAdd(request)).await?);
        Ok(Response::new(AuthUserAddResponse { header }))
    }

    async fn user_get(&self, request: Request<AuthUserGetRequest>) -> Answer<AuthUserGetResponse> {
        let caller = Caller::of(&request);
        let name = request.into_inner().name;
        self.0.read_barrier().await?;
        self.0.check_caller(&caller, |auth, author| auth.check_sees_user(author, &name)).await?;
        let roles = self.0.state.auth.read().roles_of(&name).ok_or_else(|| refused(AuthError::UserNotFound))?;
        Ok(Response::new(AuthUserGetResponse { header: Some(self.0.header_now()), roles }))
    }

    async fn user_list(&self, request: Request<AuthUserListRequest>) -> Answer<AuthUserListResponse> {
        self.0.read_barrier().await?;
        self.check_admin(&request).await?;
        let users = self.0.state.auth.read().users().cloned().collect();
        Ok(Response::new(AuthUserListResponse { header: Some(self.0.header_now()), users }))
    }

    async fn user_delete(&self, request: Request<AuthUserDeleteRequest>) -> Answer<AuthUserDeleteResponse> {
        let header = Some(self.change(request, AuthAction::UserDelete).await?);
        Ok(Response::new(AuthUserDeleteResponse { header }))
    }

    async fn user_change_password(
        &self,
        request: Request<AuthUserChangePasswordRequest>,
    ) -> Answer<AuthUserChangePasswordResponse> {
        let author = self.check_admin(&request).await?;
        let mut request = request.into_inner();
        let password = std::mem::take(&mut request.password);
        let has_no_password = self.0.state.auth.read().has_no_password(&request.name);
        // As in etcd, one who has none keeps none, whatever is given.
        request.hashed_password = match has_no_password {
            Some(true) => String::new(),
            _ => self.hash(password).await?,
        };
        let header = Some(self.propose(&author, AuthAction::UserChangePassword(request)).await?);
        Ok(Response::new(AuthUserChangePasswordResponse { header }))
    }

    async fn user_grant_role(&self, request: Request<AuthUserGrantRoleRequest>) -> Answer<AuthUserGrantRoleResponse> {
        let header = Some(self.change(request, AuthAction::UserGrantRole).await?);
        Ok(Response::new(AuthUserGrantRoleResponse { header }))
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Answer<AuthUserRevokeRoleResponse> {
        let header = Some(self.change(request, AuthAction::UserRevokeRole).await?);
        Ok(Response::new(AuthUserRevokeRoleResponse { header }))
    }

    async fn role_add(&self, request: Request<AuthRoleAddRequest>) -> Answer<AuthRoleAddResponse> {
        let header = Some(self.change(request, AuthAction::RoleAdd).await?);
        Ok(Response::new(AuthRoleAddResponse { header }))
    }

    async fn role_get(&self, request: Request<AuthRoleGetRequest>) -> Answer<AuthRoleGetResponse> {
        let caller = Caller::of(&request);
        let role = request.into_inner().role;
        self.0.read_barrier().await?;
        self.0.check_caller(&caller, |auth, author| auth.check_sees_role(author, &role)).await?;
        let perm = self.0.state.auth.read().permissions_of(&role).ok_or_else(|| refused(AuthError::RoleNotFound))?;
        Ok(Response::new(AuthRoleGetResponse { header: Some(self.0.header_now()), perm }))
    }

    async fn role_list(&self, request: Request<AuthRoleListRequest>) -> Answer<AuthRoleListResponse> {
        self.0.read_barrier().await?;
        self.check_admin(&request).await?;
        let roles = self.0.state.auth.read().roles().cloned().collect();
        Ok(Response::new(AuthRoleListResponse { header: Some(self.0.header_now()), roles }))
    }

    async fn role_delete(&self, request: Request<AuthRoleDeleteRequest>) -> Answer<AuthRoleDeleteResponse> {
        let header = Some(self.change(request, AuthAction::RoleDelete).await?);
        Ok(Response::new(AuthRoleDeleteResponse { header }))
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Answer<AuthRoleGrantPermissionResponse> {
        let header = Some(self.change(request, AuthAction::RoleGrantPermission).await?);
        Ok(Response::new(AuthRoleGrantPermissionResponse { header }))
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Answer<AuthRoleRevokePermissionResponse> {
        let header = Some(self.change(request, AuthAction::RoleRevokePermission).await?);
        Ok(Response::new(AuthRoleRevokePermissionResponse { header }))
    }
}
